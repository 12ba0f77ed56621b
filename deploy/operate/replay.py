"""Sends rejected items again: what a person selected, rewritten by a jq program, through a gateway.

The gateway's own rules are applied before anything is sent, so that an item that would be rejected again adds nothing
to `rejected.v1`. Repeating a replay is harmless: an item has the same messageId each time, and dedupe drops it.
"""

from __future__ import annotations

import getpass
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from deploy.operate.rejected import Selection, items_in_order
from deploy.operate.replay_items import NotReplayableError, Replayed, replayed, with_type
from deploy.operate.replay_program import Program, ProgramError
from deploy.operate.replay_sender import Sender, Verdict
from gateway.errors import GatewayError
from gateway.ingest.envelope import Limits, parse_envelope
from gateway.ingest.validate import validate_items
from processors.clickhouse.client import ClickHouse

BATCH_ITEMS = 100
BATCH_BYTES = 400 * 1024
_LIMITS = Limits(item_bytes=512 * 1024)
"""The highest that a gateway can have: it knows its own limit, which may have been raised since."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that is not sent, or that the gateway rejected, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An item that can be sent."""

    place: str
    before: bytes
    item: bytes


@dataclass(slots=True)
class Outcome:
    """What a replay did."""

    read: int = 0
    accepted: int = 0
    left_out: int = 0
    """Items for which the program returned nothing."""
    unsendable: list[Refused] = field(default_factory=list)
    """Items that no producer could have sent."""
    rejected: list[Refused] = field(default_factory=list)
    """Items that are rejected again, or for which the program fails."""

    @property
    def skipped(self) -> int:
        """Items that were not sent and are not rejected."""
        return self.left_out + len(self.unsendable)


class Replay:
    """One replay of the items of a project."""

    def __init__(self, project_id: str, program: Program, *, goes_on: bool) -> None:
        self.outcome = Outcome()
        self._project_id = project_id
        self._program = program
        self._goes_on = goes_on

    @property
    def is_stopped(self) -> bool:
        """Whether an item is rejected again and the replay does not continue."""
        return bool(self.outcome.rejected) and not self._goes_on

    def rewritten(self, clickhouse: ClickHouse, selection: Selection, limit: int) -> Iterator[Rewritten]:
        """Yield each item that the gateway would accept, the oldest first, until one is rejected."""
        for row in items_in_order(clickhouse, selection, limit):
            self.outcome.read += 1
            try:
                found = replayed(row)
            except NotReplayableError as error:
                self.outcome.unsendable.append(Refused(_place(row), str(error)))
                continue
            if (item := self._rewrite(found)) is not None:
                yield item
            if self.is_stopped:
                return

    def _rewrite(self, found: Replayed) -> Rewritten | None:
        try:
            item = self._program.apply(found.item)
        except ProgramError as error:
            self.outcome.rejected.append(Refused(found.place, str(error)))
            return None
        if item is None:
            self.outcome.left_out += 1
            return None
        item = with_type(item)
        if (reason := self._reason(item)) is not None:
            self.outcome.rejected.append(Refused(found.place, reason))
            return None
        return Rewritten(found.place, found.before, item)

    def _reason(self, item: bytes) -> str | None:
        """Return why the gateway would reject *item*, None if it would not."""
        try:
            envelope = parse_envelope(b'{"batch":[%s]}' % item, limits=_LIMITS)
            now = time.time_ns() // 1000
            result = validate_items(envelope, project_id=self._project_id, received_at=now, limits=_LIMITS)
        except GatewayError as error:
            return str(error)
        for rejected in result.rejected:
            return _sentence(Verdict("rejected", 0, rejected.code, rejected.message, rejected.field))
        return None

    def send(self, items: Iterator[Rewritten], sender: Sender, progress: Callable[[Outcome], None]) -> None:
        """Send *items* in batches, and call *progress* after each."""
        while batch := _batch(items):
            for verdict in sender.send([each.item for each in batch]):
                if verdict.status == "accepted":
                    self.outcome.accepted += 1
                else:
                    self.outcome.rejected.append(Refused(batch[verdict.index].place, _sentence(verdict)))
            progress(self.outcome)
            if self.is_stopped:
                return


def _batch(items: Iterator[Rewritten]) -> list[Rewritten]:
    """Return the next items, fewer than `BATCH_ITEMS` if they are large."""
    batch: list[Rewritten] = []
    size = 0
    for each in islice(items, BATCH_ITEMS):
        batch.append(each)
        size += len(each.item)
        if size >= BATCH_BYTES:
            break
    return batch


def _place(row: Mapping[str, Any]) -> str:
    return f"partition {row['_partition']}, offset {row['_origin']}"


def _sentence(verdict: Verdict) -> str:
    at = f" ({verdict.field})" if verdict.field else ""
    return f"{verdict.code}{at}: {verdict.message}"


class Record:
    """The row of a replay in the table `replays`."""

    def __init__(self, clickhouse: ClickHouse, project_id: str, selection: Selection, program: Program) -> None:
        self._clickhouse = clickhouse
        self._version = 0
        self._row = {
            "id": secrets.token_hex(8),
            "project_id": project_id,
            "started_at": _now(),
            "who": f"{getpass.getuser()}@{socket.gethostname()}",
            "selection": selection.arguments,
            "program": program.text,
        }

    @property
    def id(self) -> str:
        """The identifier of the replay."""
        return str(self._row["id"])

    def write(self, gateway: str, status: str, outcome: Outcome) -> None:
        """Write the row, which replaces the one before."""
        self._version += 1
        row = self._row | {
            "gateway": gateway,
            "status": status,
            "ended_at": None if status == "running" else _now(),
            "read": outcome.read,
            "accepted": outcome.accepted,
            "rejected": len(outcome.rejected),
            "skipped": outcome.skipped,
            "_version": self._version,
        }
        settings = {"async_insert": 0}
        self._clickhouse.execute("INSERT INTO replays FORMAT JSONEachRow", msgspec.json.encode(row), settings)


def _now() -> float:
    return round(time.time(), 3)


def reasons(refused: Sequence[Refused]) -> list[tuple[str, int, str]]:
    """Return each reason with the number of its items and the place of the first."""
    counts = Counter(each.reason for each in refused)
    first = {each.reason: each.place for each in reversed(refused)}
    return [(reason, count, first[reason]) for reason, count in counts.most_common()]
