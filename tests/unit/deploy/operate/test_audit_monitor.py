"""The repeated audit survives what fails, publishes what it finds, and logs only what has changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import pytest

from deploy.errors import OperateError
from deploy.operate.audit_balance import Balance
from deploy.operate.audit_metrics import AuditMetrics
from deploy.operate.audit_monitor import repeat

EVENTS = "sequence.events.v1"
GOOD = Balance(since=1000.0, items=7, missing={EVENTS: 0}, unexpected={EVENTS: 0}, repeated={EVENTS: 0})
BAD = Balance(
    since=1000.0,
    items=7,
    missing={EVENTS: 1},
    unexpected={EVENTS: 2},
    repeated={EVENTS: 0},
    lines=["events, partition 0: 1 missing: source offsets 3"],
)


class Scripted:
    """Answers with what a test lists, one after the other, and then ends the repetition."""

    def __init__(self, answers: Sequence[Balance | Exception]) -> None:
        self._answers = list(answers)
        self.stopped = False

    def check(self, now: float) -> Balance:
        assert now > 0
        if not self._answers:
            raise asyncio.CancelledError
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.stopped = True


def repeated(*answers: Balance | Exception) -> AuditMetrics:
    """Return the metrics after audits with these *answers*."""
    metrics, audits = AuditMetrics(1.0), Scripted(answers)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(repeat(audits, metrics, 0.0))
    assert audits.stopped
    return metrics


def value(metrics: AuditMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"sequence_audit_{name}", labels)


def test_result_of_the_last_complete_audit_is_published() -> None:
    metrics = repeated(GOOD, BAD, OperateError("Kafka is away."), ValueError("a bug"))

    assert value(metrics, "missing_items", topic=EVENTS) == 1
    assert value(metrics, "unexpected_rows", topic=EVENTS) == 2
    assert value(metrics, "items") == 7
    assert value(metrics, "failures_total") == 2
    assert (value(metrics, "completed_timestamp_seconds") or 0) > 1_700_000_000


def test_time_of_the_first_audit_is_that_of_the_start_until_it_completes() -> None:
    metrics = repeated(OperateError("Kafka is away."))

    assert value(metrics, "completed_timestamp_seconds") == 1.0
    assert value(metrics, "missing_items", topic=EVENTS) is None


def test_changes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    away = OperateError("Kafka is away.")

    repeated(GOOD, GOOD, away, away, GOOD, BAD, BAD, GOOD)

    assert [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records] == [
        ("INFO", "audit"),
        ("WARNING", "the audit cannot complete and is repeated"),
        ("INFO", "audit"),
        ("WARNING", "audit"),
        ("INFO", "audit"),
    ]
    assert caplog.messages[3].endswith("events, partition 0: 1 missing: source offsets 3")
