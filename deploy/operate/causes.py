"""Joins the findings of `sequence status` that have one cause, so that a cause has one remedy. Pure.

A suspended broker makes Kafka unreachable, gateways not ready and workers idle. A finding tells what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from deploy.operate.broker_disks import LOW
from deploy.operate.finding import Finding, in_order
from deploy.operate.status_result import NO_ANSWER, SUSPENDED, Status
from processors.settings import WORKERS

_OF_KAFKA = frozenset({"Kafka", "gateway", "console", *WORKERS})
_OF_CLICKHOUSE = frozenset({"ClickHouse", "sink"})


def joined(findings: Iterable[Finding], status: Status) -> list[Finding]:
    """Return *findings* of *status*, errors first, without those that follow from another one, which tells them."""
    left = sorted(findings, key=lambda each: _rank(each, status))
    found = []
    while left:
        cause, *others = left
        effects = [each for each in others if _explains(cause, each, status)]
        left = [each for each in others if each not in effects]
        found.append(_telling(cause, effects))
    return in_order(found)


def _rank(finding: Finding, status: Status) -> int:
    """Return a lower number for what can be the cause of more: what comes first in the flow, processes first."""
    if not _is_cause(finding, status):
        return 6
    order = {"kafka": 0, "Kafka": 1, LOW: 2, "clickhouse": 3, "ClickHouse": 4}
    return order.get(finding.check, 5)


def _is_cause(finding: Finding, status: Status) -> bool:
    """Return whether *finding* is about a server that is down or full, or a process that does nothing."""
    is_part = finding.check in {"Kafka", LOW, "ClickHouse"} or any(
        each.name == finding.check for each in status.processes
    )
    return finding.level == "error" and is_part


def _explains(cause: Finding, effect: Finding, status: Status) -> bool:
    is_suspended = any(each.name == effect.check and each.state == SUSPENDED for each in status.processes)
    if is_suspended or not _is_cause(cause, status):
        return False  # A process stays suspended when the cause is gone.
    of_cause, of_effect = _kind(cause.check), _kind(effect.check)
    if cause.check == LOW:
        return effect.check == "gateway" and "free disk space" in effect.what
    if of_cause in {"kafka", "Kafka"}:
        # Without Kafka, a gateway of a server answers that it is not ready; `sequence up` lets its own wait for Kafka.
        is_away = effect.check == "gateway" and NO_ANSWER in effect.what and not status.processes
        return of_effect in _OF_KAFKA and not is_away
    if of_cause in {"clickhouse", "ClickHouse"}:
        return of_effect in _OF_CLICKHOUSE
    if of_cause in WORKERS:
        return effect.check == of_cause
    return of_cause == "gateway" and effect.check == "gateway" and _is_gateway(cause.check, effect, status)


def _is_gateway(process: str, finding: Finding, status: Status) -> bool:
    """Return whether *finding* is about the gateway of *process*. Both are in the order of their ports."""
    names = [each.name for each in status.processes if _kind(each.name) == "gateway"]
    if len(names) != len(status.gateways):
        return len(status.gateways) == 1
    return finding.what.startswith(f"{status.gateways[names.index(process)].url} ")


def _kind(check: str) -> str:
    """Return *check* without the number of a process."""
    return check.rstrip("0123456789").removesuffix("-")


def _telling(cause: Finding, effects: Sequence[Finding]) -> Finding:
    whats = dict.fromkeys([cause.what, *(each.what for each in effects)])
    times = [each.since for each in (cause, *effects) if each.since is not None]
    return msgspec.structs.replace(cause, what=" ".join(whats), since=min(times, default=None))


class Memory:
    """Since when each finding is there, of one that comes up between two looks."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], str | None] | None = None
        """When each present finding was seen first; None for those of the first look, which may be older."""

    def dated(self, findings: Iterable[Finding], at: str) -> list[Finding]:
        """Return *findings* of the look *at*, a time in UTC; those that do not tell since when get a known time."""
        seen: dict[tuple[str, str], str | None] = {}
        before = self._seen
        dated = []
        for each in findings:
            key = each.check, each.level
            seen[key] = None if before is None else before.get(key, at)
            dated.append(each if each.since else msgspec.structs.replace(each, since=seen[key]))
        self._seen = seen
        return dated
