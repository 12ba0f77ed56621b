"""When the catalogue counts, what it logs and measures, and that its failures stay its own."""

from __future__ import annotations

import threading

import pytest

from processors.clickhouse.errors import ClickHouseError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.sink.catalog import ENOUGH_OFFSETS, LOOK_SECONDS, PAUSE_SECONDS, Catalog, CountedTable
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_ranges import Budget, first_of, offsets, pending
from processors.sink.catalog_statement import SOURCES, Crowds, Pass, Range, insert
from schemas.clickhouse.quoting import literal
from tests.contracts.sinks import valid_lease
from tests.fakes.catalog import FaultyCatalog, MemoryCatalog
from tests.support.catalog_model import Row, expected

GRANT = ClickHouseError("Code: 497. DB::Exception: Not enough privileges (ACCESS_DENIED)", 497)
AWAY = UnavailableError("Connection refused")


class Case:
    """A table that is counted into a catalogue in memory."""

    def __init__(self) -> None:
        self.memory = MemoryCatalog()
        self.faulty = FaultyCatalog(self.memory)
        self.metrics = WorkerMetrics()
        counter = Counter(SOURCES[0], self.faulty, valid_lease)  # type: ignore[arg-type]  # it passes calls on
        self.table = CountedTable(counter, self.metrics)

    def write(self, *offsets: int) -> None:
        self.memory.rows_written([Row(0, offset, "Viewed", {"a": 1}) for offset in offsets])

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"sequence_sink_catalog_{name}", {"kind": "event"})


def test_first_rows_after_a_pause_are_counted_at_the_second_look() -> None:
    case = Case()
    case.write(0, 1)
    case.table.run(100.0)
    assert (case.memory.counts, case.value("lag_offsets")) == ({}, 2)
    case.table.run(100.0 + LOOK_SECONDS)

    assert case.memory.counts == expected(case.memory.rows)
    assert [case.value(name) for name in ("lag_offsets", "lag_seconds", "counted_offsets_total")] == [0, 0, 2]
    assert case.value("pass_seconds_count") == 1


def test_few_rows_are_counted_once_in_a_pause() -> None:
    case = Case()
    case.write(0)
    case.table.run(100.0)
    case.table.run(104.0)
    case.write(1)
    case.table.run(108.0)
    case.table.run(104.0 + PAUSE_SECONDS - 1)
    assert (len(case.faulty.counted), case.value("lag_seconds")) == (1, PAUSE_SECONDS - 5)
    case.table.run(104.0 + PAUSE_SECONDS)

    assert case.memory.counts == expected(case.memory.rows)


def test_many_rows_are_counted_at_once() -> None:
    case = Case()
    case.write(0, ENOUGH_OFFSETS)
    case.table.run(100.0)

    assert case.memory.counts == expected(case.memory.rows)


def test_few_rows_are_counted_at_once_while_a_large_merge_mixes_them() -> None:
    case = Case()
    case.write(0)
    case.table.run(100.0)
    case.memory.mixing = True
    case.table.run(100.0 + LOOK_SECONDS / 2)

    assert case.memory.counts == expected(case.memory.rows)
    case.table.run(100.0 + LOOK_SECONDS)
    assert len(case.faulty.counted) == 1


def test_failure_is_logged_once_counted_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.write(0, ENOUGH_OFFSETS)
    case.faulty.fault = lambda counted: GRANT  # noqa: ARG005
    now = 100.0
    for _ in range(5):
        case.table.run(now)
        now += 30.0
    case.faulty.fault = lambda counted: None  # noqa: ARG005
    caplog.set_level("INFO", logger="processors.sink.catalog")
    case.table.run(now)

    assert case.value("failed_passes_total") == 5
    assert case.memory.counts == expected(case.memory.rows)
    lines = [record.getMessage() for record in caplog.records if record.name == "processors.sink.catalog"]
    told = "events: the catalogue cannot count new rows, retrying; the table has them: 1 attempts failed in 0 s. "
    assert lines == [f"{told}The last error: {GRANT}", "events: the catalogue counts new rows again"]


def test_failed_pass_waits_before_it_is_repeated() -> None:
    case = Case()
    case.write(0, ENOUGH_OFFSETS)
    case.faulty.fault = lambda counted: GRANT  # noqa: ARG005
    case.table.run(100.0)
    case.table.run(100.0 + LOOK_SECONDS / 2)

    assert len(case.faulty.counted) == 1


def test_outage_of_clickhouse_is_left_to_the_inserts_to_log(caplog: pytest.LogCaptureFixture) -> None:
    case = Case()
    case.memory.reachable = False
    case.table.run(100.0)

    assert (case.value("failed_passes_total"), caplog.messages) == (1, [])


def test_worker_that_counts_no_more_exports_no_lag() -> None:
    case = Case()
    case.write(0)
    case.table.forget()
    case.table.run(100.0)
    assert case.value("lag_offsets") == 1
    case.table.forget()

    assert (case.value("lag_offsets"), case.value("lag_seconds")) == (None, None)


class Looks:
    """A table that notes each call."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.forgotten = threading.Event()

    def run(self, now: float) -> None:
        del now
        self.called.set()

    def forget(self) -> None:
        self.forgotten.set()


def test_catalogue_counts_only_while_the_worker_is_the_owner() -> None:
    looks = Looks()
    kept = Catalog([looks])
    kept.start()
    assert not looks.called.is_set()
    kept.set_owner(counts=True)
    assert looks.called.wait(10)
    kept.set_owner(counts=False)
    assert looks.forgotten.wait(10)
    kept.stop()


def test_thread_of_the_catalogue_does_not_keep_the_process_alive() -> None:
    # Threads of other tests may still be ending.
    others = set(threading.enumerate())
    kept = Catalog([])
    kept.start()
    [thread] = [thread for thread in threading.enumerate() if thread.name == "catalog" and thread not in others]
    assert thread.daemon
    kept.stop()
    thread.join(10)

    assert not thread.is_alive()


def test_offsets_that_are_pending_follow_the_positions() -> None:
    ends = {(1, 0): 10, (1, 1): 5, (2, 0): 3, (1, 2): 4}

    assert pending({(1, 0): 4, (1, 1): 5, (1, 2): 9}, ends) == [Range(1, 0, 4, 10), Range(2, 0, 0, 3)]


def test_first_offsets_are_taken_partition_by_partition() -> None:
    ranges = [Range(1, 0, 0, 5), Range(1, 1, 10, 20), Range(1, 2, 0, 5)]

    assert list(first_of(ranges, 7)) == [Range(1, 0, 0, 5), Range(1, 1, 10, 12)]
    assert offsets(list(first_of(ranges, 7))) == 7
    assert list(first_of(ranges, 100)) == ranges


def test_budget_halves_to_one_offset_and_doubles_to_all() -> None:
    budget = Budget()
    assert [budget.halve(failed) for failed in (8, 4, 2)] == [True, True, True]
    assert (budget.limit, budget.halve(1), budget.limit) == (1, False, 1)
    budget.double(1, 8)
    assert budget.limit == 2
    budget.double(8, 8)
    assert budget.limit is None


def test_names_of_projects_and_events_are_literals() -> None:
    assert literal("it's \\ new\n") == "'it\\'s \\\\ new\n'"
    assert literal("a\0b") == "'a\\0b'"
    crowds = Crowds(frozenset({("p'", "e\\")}), frozenset({"q'"}))
    text = insert(Pass(SOURCES[0], 0, 1, [Range(1, 0, 0, 1)], crowds), 0.0)

    assert "IN (('p\\'', 'e\\\\'))" in text
    assert "IN ('q\\'')" in text
