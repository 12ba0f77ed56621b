"""`/api/audit`: what the newest of the console's repeated audits found, and whether it is old."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import msgspec

from deploy.errors import OperateError
from deploy.operate.audit_balance import Balance
from deploy.operate.audit_monitor import INTERVAL_SECONDS, Audits
from deploy.operate.audit_window import SAFE_SECONDS, WINDOW_SECONDS
from processors.clickhouse.errors import ClickHouseError
from schemas.times import SECOND, format_time

OVERDUE_SECONDS = 4 * INTERVAL_SECONDS
"""Age at which a result is overdue: an audit completes every `INTERVAL_SECONDS`."""
MOST_DIFFERENCES = 100
_FAILED = "The audit failed with an unexpected error. The log of the console has the cause."


class TopicBalance(msgspec.Struct, frozen=True, rename="camel"):
    """What should be further on of a topic."""

    topic: str
    compared: int
    """Records of the window; of `items.v1` the items that were received, of the others those that should be a row."""
    missing: int
    unexpected: int
    repeated: int


class Step(msgspec.Struct, frozen=True, rename="camel"):
    """A command to run."""

    command: str
    why: str


class ShownAudit(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The newest result; None where there is none yet."""

    state: Literal["off", "waiting", "current", "overdue"]
    interval_seconds: float = INTERVAL_SECONDS
    window_seconds: float = WINDOW_SECONDS
    safe_seconds: float = SAFE_SECONDS
    """Age of the newest item that is compared."""
    completed_at: str | None = None
    seconds: float | None = None
    """Time that it took."""
    since: str | None = None
    """Time of the oldest item that was compared."""
    adds_up: bool | None = None
    items: int | None = None
    """Received: `unique` + `duplicates` + `rejected` + the missing ones of `items.v1`."""
    unique: int | None = None
    duplicates: int | None = None
    rejected: int | None = None
    topics: list[TopicBalance] = []
    differences: list[str] = []
    """A sentence for each partition, at most `MOST_DIFFERENCES`."""
    steps: list[Step] = []
    message: str | None = None
    """Why the last audit did not complete."""


@dataclass(frozen=True, slots=True)
class _Completed:
    balance: Balance
    at: float
    seconds: float


class RememberedAudit:
    """Does what *audits* does, and remembers what it found.

    The audit runs in a thread of its own; `shown` is for any other.
    """

    def __init__(self, audits: Audits, began_at: float) -> None:
        self._audits = audits
        self._began_at = began_at
        self._completed: _Completed | None = None
        self._failure: str | None = None

    def check(self, now: float) -> Balance:
        """Return the balance at *now*, in seconds since 1970. Blocks. Raises what the audit raises."""
        began = time.monotonic()
        try:
            balance = self._audits.check(now)
        except (OperateError, ClickHouseError) as error:
            self._failure = str(error)
            raise
        except Exception:
            self._failure = _FAILED
            raise
        self._completed = _Completed(balance, now, time.monotonic() - began)
        self._failure = None
        return balance

    def stop(self) -> None:
        """Let a check that another thread runs end soon."""
        self._audits.stop()

    def shown(self, now: float) -> ShownAudit:
        """Return the newest result and its state at *now*, in seconds since 1970."""
        done = self._completed
        is_overdue = now - (self._began_at if done is None else done.at) > OVERDUE_SECONDS
        if done is None:
            return ShownAudit(state="overdue" if is_overdue else "waiting", message=self._failure)
        balance = done.balance
        return ShownAudit(
            state="overdue" if is_overdue else "current",
            completed_at=_time(done.at),
            seconds=round(done.seconds, 3),
            since=_time(balance.since),
            adds_up=balance.adds_up,
            items=balance.items,
            unique=balance.unique,
            duplicates=balance.duplicates,
            rejected=balance.rejected,
            topics=[
                TopicBalance(topic, count, balance.missing[topic], balance.unexpected[topic], balance.repeated[topic])
                for topic, count in balance.compared.items()
            ],
            differences=balance.lines[:MOST_DIFFERENCES],
            steps=_steps(balance),
            message=self._failure,
        )


def _steps(balance: Balance) -> list[Step]:
    """Return what to run if *balance* does not add up."""
    if balance.adds_up:
        return []
    steps = [Step("sequence audit", "Compares everything that the topics have, and names the source offsets.")]
    if _lacks_rows(balance):
        steps.append(Step("sequence audit --refill", "Writes the missing rows from the topics."))
    return [*steps, Step("sequence doctor", "Looks for the cause.")]


def _lacks_rows(balance: Balance) -> bool:
    """Return whether rows are missing; items that are on no topic of dedupe cannot be written from the topics."""
    return any(count for topic, count in balance.missing.items() if not topic.endswith(".items.v1"))


def _time(seconds: float) -> str:
    return format_time(math.floor(seconds * SECOND))
