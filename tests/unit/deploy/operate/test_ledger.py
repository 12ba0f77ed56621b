"""The equation of an audit: every item is in one place, and what is missing or too much is named."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from deploy.operate.audit import Compared
from deploy.operate.events_log import SOURCES, RejectedSource, SourceLog
from deploy.operate.ledger import Accepted, Ledger, make_ledger
from deploy.operate.offsets import Input
from deploy.operate.scope import Scope
from deploy.operate.source_offsets import SourceOffsets
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, REJECTED

EVENTS_LOG, DUPLICATES_LOG, REJECTED_LOG = SOURCES


class Partition:
    """A partition with items 0 to 9: events 0 to 4, identifies 5 and 6, duplicates 7 and 8, and 9 that dedupe rejected.

    `rejected.v1` has this rejection, and two by the gateway.
    """

    def __init__(self, *, log_start: int = 0) -> None:
        self.accepted = Accepted(0, 10, SourceOffsets(range(10)))
        self.events = self._log(EVENTS_LOG, range(7), log_start)
        self.duplicates = self._log(DUPLICATES_LOG, (7, 8))
        self.rejected = self._log(REJECTED_LOG, range(3))
        self.rejected.rejected.append(RejectedSource("dedupe", 0, 9))
        self.tables = {table: Compared(table, 0, 9, -1) for table in (EVENTS, IDENTIFIES, DUPLICATES, REJECTED)}
        self.reach(self.events, EVENTS.name, range(5))
        self.reach(self.events, IDENTIFIES.name, (5, 6))
        self.reach(self.duplicates, DUPLICATES.name, (7, 8))
        self.reach(self.rejected, REJECTED.name, range(3))

    @staticmethod
    def _log(source: object, offsets: Iterable[int], log_start: int = 0) -> SourceLog:
        (found,) = [each for each in SOURCES if each is source]
        read = Input(f"sequence.{found.topic}", 0, log_start, 100)
        return SourceLog(found, read, seen=SourceOffsets(offsets))

    @staticmethod
    def reach(log: SourceLog, table: str, offsets: Iterable[int]) -> None:
        """Let the table have reached *offsets*."""
        log.found[table] = SourceOffsets(offsets)

    def ledger(self) -> Ledger:
        logs = [self.events, self.duplicates, self.rejected]
        return make_ledger([self.accepted], logs, list(self.tables.values()), Scope())


def test_every_item_is_in_one_place() -> None:
    ledger = Partition().ledger()

    assert list(ledger.lines()) == [
        "received 12 = accepted 10 + rejected by the gateway 2",
        "accepted 10 = unique 7 + duplicates 2 + rejected by dedupe 1 + waiting 0",
        "unique 7 = events 5 + identifies 2 + rejected by the sink 0 + removed 0 + waiting 0",
        "duplicates 2 = duplicates 2 + rejected by the sink 0 + removed 0 + waiting 0",
        "rejections 3 = rejected 3 + removed 0 + waiting 0",
    ]
    assert ledger.faults == []


def test_items_that_no_stage_has_processed_wait() -> None:
    case = Partition()
    case.accepted = Accepted(0, 8, SourceOffsets(range(12)))
    case.reach(case.events, IDENTIFIES.name, (5,))
    ledger = case.ledger()

    assert (ledger.waiting, ledger.unique.waiting, ledger.missing, ledger.faults) == (2, 1, 0, [])


def test_item_that_dedupe_has_processed_and_that_is_nowhere_is_named() -> None:
    case = Partition()
    case.accepted = Accepted(0, 12, SourceOffsets(range(12)))
    ledger = case.ledger()

    assert (ledger.missing, ledger.waiting) == (2, 0)
    [fault] = ledger.faults
    assert fault.startswith("items.v1, partition 0: 2 items are neither on events.v1 nor on duplicates.v1")
    assert fault.endswith("source offsets 10-11")
    assert " + waiting 0 + missing 2" in list(ledger.lines())[1]


def test_item_that_is_unique_and_a_duplicate_is_named() -> None:
    case = Partition()
    case.duplicates.seen.add(3)

    assert case.ledger().faults == [
        "items.v1, partition 0: 1 items are on events.v1 and on duplicates.v1: source offsets 3"
    ]


@pytest.mark.parametrize("place", ["missing", "removed", "erased", "rejected"])
def test_rows_that_a_table_lacks_are_counted_by_reason(place: str) -> None:
    case = Partition()
    getattr(case.tables[EVENTS], place).add(2)
    unique = case.ledger().unique

    assert unique.rows == {"events": 4, "identifies": 2}
    assert {name: getattr(unique, name) for name in ("missing", "removed", "erased", "rejected")} == {
        name: int(name == place) for name in ("missing", "removed", "erased", "rejected")
    }


def test_items_whose_events_may_have_expired_do_not_count() -> None:
    case = Partition(log_start=50)
    case.events.certain_from = 2
    ledger = case.ledger()

    assert (ledger.accepted, ledger.unique.records) == (7, 4)
    assert ledger.unique.rows == {"events": 2, "identifies": 2}


def test_repeated_rejection_of_one_item_counts_once() -> None:
    case = Partition()
    case.rejected.seen.add(3)
    case.rejected.rejected.append(RejectedSource("dedupe", 0, 9))
    ledger = case.ledger()

    assert (ledger.rejected_by_dedupe, ledger.rejected_by_gateway, ledger.rejected.records) == (1, 2, 4)
