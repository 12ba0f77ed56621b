"""The contract of the catalogue: whatever fails, each row is counted once. On the engine and on the fake."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.clickhouse.errors import ClickHouseError, LostAnswerError, UnavailableError
from processors.sink import catalog_counter
from processors.sink.catalog_counter import Lag
from processors.sink.catalog_statement import OTHER, Pass
from tests.contracts.catalogs import CatalogCase, Owner, rows_of
from tests.contracts.sinks import ended_lease
from tests.support.catalog_model import Row, expected

MEMORY = UnavailableError("Code: 241. DB::Exception: Query memory limit exceeded", 241)
LOST = LostAnswerError("no answer")
AWAY = UnavailableError("Connection refused")
FAULTS = {"memory": MEMORY, "lost": LOST, "away": AWAY}
_logs = itertools.count(1)

names = st.sampled_from(["price", "plan", "a.b", "items", "o", "x y", "ключ", "quo'te\\", "tags[]", ""])
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.just(1.5), st.sampled_from(["", "pro", "2026-01-01"])
)
arrays = st.sampled_from([[], [1, 2], [1, "a"], [None], [{"sku": 1}, {"sku": None}], [[1], [2]]])
objects = st.dictionaries(names, st.one_of(leaves, arrays, st.dictionaries(names, leaves, max_size=2)), max_size=5)
written = st.tuples(
    st.just("write"),
    st.integers(0, 2),
    st.lists(st.tuples(st.sampled_from(["Viewed", "Buy 'it\\", OTHER]), objects), min_size=1, max_size=4),
)
passes = st.tuples(
    st.just("count"), st.integers(0, 1), st.sampled_from(["", "memory", "lost", "away", "lost after", "memory after"])
)
steps = st.lists(
    st.one_of(
        written,
        passes,
        st.tuples(st.sampled_from(["look", "count what was seen", "restart"]), st.integers(0, 1)),
        st.just(("merge",)),
    ),
    min_size=3,
    max_size=16,
)


class History:
    """Carries out steps on a catalogue with two owners."""

    def __init__(self, case: CatalogCase) -> None:
        self.case = case
        self.log = next(_logs)
        self.rows: list[Row] = []
        self.owners = [Owner(case), Owner(case)]
        self.seen: list[Lag | None] = [None, None]
        self.next_offsets = dict.fromkeys(range(3), 0)

    def run(self, step: Sequence[Any]) -> None:
        match step:
            case ("write", partition, written):
                self.write(partition, written)
            case ("count", owner, fault):
                self.count(owner, fault)
            case ("look", owner):
                self.seen[owner] = self.owners[owner].counter.look()
            case ("count what was seen", owner):
                if (lag := self.seen[owner]) is not None and lag.ranges:
                    self.owners[owner].counter.count(lag)
            case ("restart", owner):
                self.owners[owner] = Owner(self.case)
            case _:
                self.case.merge()

    def write(self, partition: int, written: Sequence[tuple[str, dict[str, Any]]]) -> None:
        # Source offsets have gaps: those of duplicates and of identifies.
        first = self.next_offsets[partition] + 1
        rows = [Row(partition, first + 2 * at, event, each, log=self.log) for at, (event, each) in enumerate(written)]
        self.next_offsets[partition] = rows[-1].offset + 1
        self.rows += rows
        self.case.write(rows)

    def count(self, owner: int, fault: str) -> None:
        chosen = self.owners[owner]
        name, _, after = fault.partition(" ")
        chosen.store.writes_despite_errors = bool(after)
        chosen.store.fault = lambda counted: FAULTS.get(name)  # noqa: ARG005
        try:
            chosen.count()
        except ClickHouseError:
            pass  # The caller tries again later.
        finally:
            chosen.store.fault = lambda counted: None  # noqa: ARG005


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_each_row_is_counted_once_whatever_fails(catalog_case: CatalogCase, steps: list[Sequence[Any]]) -> None:
    case = catalog_case
    case.reset()
    history = History(case)
    for step in steps:
        history.run(step)
    Owner(case).finish()

    assert case.read() == expected(history.rows)


def test_answer_that_is_lost_counts_nothing_twice(catalog_case: CatalogCase) -> None:
    case = catalog_case
    case.write(rows_of({"a": 1}, {"a": "x"}))
    owner = Owner(case)
    owner.store.fault, owner.store.writes_despite_errors = (lambda counted: LOST), True  # noqa: ARG005

    assert owner.count() is None
    assert case.read() == expected(rows_of({"a": 1}, {"a": "x"}))
    assert owner.count() is None
    assert len(owner.store.counted) == 1


def test_worker_whose_lease_has_ended_counts_nothing(catalog_case: CatalogCase) -> None:
    case = catalog_case
    case.write(rows_of({"a": 1}))
    with pytest.raises(UnavailableError):
        Owner(case, ended_lease).count()

    assert case.read() == {}
    Owner(case).finish()
    assert case.read() == expected(rows_of({"a": 1}))


def test_late_pass_of_another_worker_changes_nothing(catalog_case: CatalogCase) -> None:
    case = catalog_case
    case.write(rows_of({"a": 1}))
    late, owner = Owner(case), Owner(case)
    lag = late.counter.look()
    case.write(rows_of({"a": 2}, first=1))
    owner.finish()

    assert late.counter.count(lag) is None
    assert case.read() == expected(rows_of({"a": 1}, {"a": 2}))


def test_pass_that_fails_for_its_size_is_repeated_with_half(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of(*({"a": at} for at in range(8)))
    case.write(rows)
    owner = Owner(case)
    owner.store.fault = lambda counted: MEMORY if width(counted) > 2 else None
    for _ in range(2):
        with pytest.raises(UnavailableError):
            owner.count()
    owner.store.fault = lambda counted: MEMORY if width(counted) > 4 else None
    owner.finish()

    assert [width(counted) for counted in owner.store.counted] == [8, 4, 2, 4, 2]
    assert case.read() == expected(rows)


def width(counted: Pass) -> int:
    return sum(each.end - each.first for each in counted.ranges)


def test_row_that_cannot_be_counted_is_left_out(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of(*({"a": at} for at in range(5)))
    case.write(rows)
    owner = Owner(case)
    owner.store.fault = lambda counted: MEMORY if any(each.first <= 3 < each.end for each in counted.ranges) else None
    failed, skipped = 0, 0
    while (lag := owner.counter.look()).ranges:
        try:
            done = owner.counter.count(lag)
        except UnavailableError:
            failed += 1
        else:
            skipped += done.skipped if done else 0

    assert (skipped, case.read()) == (1, expected(row for row in rows if row.offset != 3))
    assert failed >= catalog_counter.TRIES_ALONE


def test_outage_leaves_out_no_row(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of({"a": 1})
    case.write(rows)
    owner = Owner(case)
    owner.store.fault = lambda counted: AWAY  # noqa: ARG005
    for _ in range(2 * catalog_counter.TRIES_ALONE):
        with pytest.raises(UnavailableError):
            owner.count()
    owner.store.fault = lambda counted: None  # noqa: ARG005
    owner.finish()

    assert case.read() == expected(rows)


def test_restored_catalogue_counts_again_what_it_lost(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of({"a": 1}, {"a": "x"})
    case.write(rows)
    owner = Owner(case)
    owner.finish()
    case.lose_last_pass()
    assert case.read() == {}
    owner.finish()

    assert case.read() == expected(rows)


def test_new_generation_counts_everything_again(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of({"a": 1}, {"b": 1})
    case.write(rows)
    late = Owner(case)
    lag = late.counter.look()
    Owner(case).finish()
    case.begin_generation()
    assert case.read() == {}
    assert late.counter.count(lag) is None
    late.finish()

    assert case.read() == expected(rows)


def test_restored_table_is_not_counted_twice(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of(*({"a": at} for at in range(4)))
    case.write(rows)
    Owner(case).finish()
    more = rows_of({"a": 4}, first=4)
    case.write(more)
    Owner(case).finish()

    assert case.read() == expected(rows + more)
