"""The newest result of the repeated audit as the console shows it, and its age."""

from __future__ import annotations

import pytest

from deploy.console.audits import MOST_DIFFERENCES, OVERDUE_SECONDS, RememberedAudit
from deploy.errors import OperateError
from deploy.operate.audit_balance import Balance

ITEMS, EVENTS = "sequence.items.v1", "sequence.events.v1"


def balance(items_missing: int = 0, rows_missing: int = 0, unexpected: int = 0) -> Balance:
    count = items_missing + rows_missing + unexpected
    return Balance(
        since=1000.0,
        items=10,
        missing={ITEMS: items_missing, EVENTS: rows_missing},
        unexpected={ITEMS: 0, EVENTS: unexpected},
        repeated={ITEMS: 0, EVENTS: 3},
        lines=[f"events, partition {number}: 1 missing" for number in range(count)],
        unique=6,
        duplicates=3,
        rejected=1 - items_missing,
        compared={ITEMS: 10, EVENTS: 6},
    )


class Scripted:
    """Answers with what a test sets."""

    def __init__(self) -> None:
        self.answer: Balance | Exception = balance()
        self.is_stopped = False

    def check(self, now: float) -> Balance:
        assert now > 0
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def stop(self) -> None:
        self.is_stopped = True


def test_audit_waits_and_is_then_overdue() -> None:
    audit = RememberedAudit(Scripted(), 5000.0)

    assert (audit.shown(5001.0).state, audit.shown(5001.0).items) == ("waiting", None)
    assert audit.shown(5001.0 + OVERDUE_SECONDS).state == "overdue"


def test_newest_result_is_shown_until_it_is_overdue() -> None:
    audit = RememberedAudit(Scripted(), 5000.0)
    audit.check(6000.0)
    shown = audit.shown(6010.0)

    assert (shown.state, shown.adds_up, shown.message, shown.steps) == ("current", True, None, [])
    assert (shown.completed_at, shown.since) == ("1970-01-01T01:40:00.000000Z", "1970-01-01T00:16:40.000000Z")
    assert (shown.items, shown.unique, shown.duplicates, shown.rejected) == (10, 6, 3, 1)
    assert [(each.topic, each.compared, each.missing, each.repeated) for each in shown.topics] == [
        (ITEMS, 10, 0, 0),
        (EVENTS, 6, 0, 3),
    ]
    assert audit.shown(6001.0 + OVERDUE_SECONDS).state == "overdue"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OperateError("Kafka is away."), "Kafka is away."),
        (RuntimeError("secret"), "The audit failed with an unexpected"),
    ],
)
def test_failure_is_named_beside_the_last_result(error: Exception, message: str) -> None:
    scripted = Scripted()
    audit = RememberedAudit(scripted, 5000.0)
    audit.check(6000.0)
    scripted.answer = error
    with pytest.raises(type(error)):
        audit.check(6030.0)

    assert audit.shown(6031.0).items == 10
    assert (audit.shown(6031.0).message or "").startswith(message)
    scripted.answer = balance()
    audit.check(6060.0)
    assert audit.shown(6061.0).message is None


@pytest.mark.parametrize(
    ("found", "commands"),
    [
        (balance(items_missing=1), ["sequence audit", "sequence doctor"]),
        (balance(rows_missing=1), ["sequence audit", "sequence audit --refill", "sequence doctor"]),
        (balance(unexpected=1), ["sequence audit", "sequence doctor"]),
    ],
)
def test_result_that_does_not_add_up_says_what_to_run(found: Balance, commands: list[str]) -> None:
    scripted = Scripted()
    scripted.answer = found
    audit = RememberedAudit(scripted, 5000.0)
    audit.check(6000.0)
    shown = audit.shown(6001.0)

    assert shown.adds_up is False
    assert [step.command for step in shown.steps] == commands
    assert shown.differences == found.lines


def test_differences_are_bounded() -> None:
    scripted = Scripted()
    scripted.answer = balance(rows_missing=2 * MOST_DIFFERENCES)
    audit = RememberedAudit(scripted, 5000.0)
    audit.check(6000.0)

    assert len(audit.shown(6001.0).differences) == MOST_DIFFERENCES


def test_stop_reaches_the_audit() -> None:
    scripted = Scripted()
    RememberedAudit(scripted, 5000.0).stop()

    assert scripted.is_stopped
