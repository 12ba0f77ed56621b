"""The test vectors of consumers: right by a reference of its own, passed by the helper, failed by naive consumers."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from schemas.sequence_consumer import Headers, SourceOffsets, origin_of
from tests.support.consumer_vectors import CASES, RUNS, Consumer, failures
from tests.support.documents import page

CONSUMERS = page("docs/consumers.md")
Stream = tuple[int, int]
"""Partition and source partition."""
READ_BY_ANOTHER = "partition_returns_inside_a_dip"
"""The case in which a consumer outside the case reads some of the records."""


# The reference keeps no highest source offset: each source offset above the state is delivered once, in growing order.


def stream_of(record: Mapping[str, Any]) -> Stream:
    return record["partition"], int(record.get("origin_partition", record["partition"]))


def expected_of(run: Mapping[str, Any]) -> dict[Stream, list[int]]:
    """Return what a consumer of *run* delivers, by sets."""
    records = [record for record in run["records"] if "refused" not in record]
    found = {}
    for stream in {stream_of(record) for record in records}:
        origins = [int(record["origin"]) for record in records if stream_of(record) == stream]
        state = run["assigned"][str(stream[0])]["state"]
        # Without a state the first record is the first one: what is below it precedes the start.
        above = origins[0] - 1 if state is None else state["source_offsets"].get(str(stream[1]), -1)
        found[stream] = sorted({origin for origin in origins if origin > above})
    return found


def is_subsequence(part: list[int], whole: list[int]) -> bool:
    following = iter(whole)
    return all(each in following for each in part)


@pytest.mark.parametrize("case", RUNS.values(), ids=RUNS)
def test_runs_of_a_vector_follow_from_sets(case: Mapping[str, Any]) -> None:
    for run in case["runs"]:
        expected = expected_of(run)
        for number, delivered in run["delivered"].items():
            of_partition = [origins for (partition, _), origins in expected.items() if partition == int(number)]
            read = [record for record in run["records"] if record["partition"] == int(number)]
            assert Counter(delivered) == sum(map(Counter, of_partition), Counter())
            assert is_subsequence(delivered, [int(record["origin"]) for record in read if "refused" not in record])
            assert all(is_subsequence(origins, delivered) for origins in of_partition)


@pytest.mark.parametrize("case", RUNS.values(), ids=RUNS)
def test_states_of_a_vector_are_those_of_its_records(case: Mapping[str, Any]) -> None:
    for run in case["runs"]:
        records = [record for record in run["records"] if "refused" not in record]
        for number, state in run["stored"].items():
            before = run["assigned"][number]["state"] or {"next_offset": 0, "source_offsets": {}}
            read = [record for record in records if record["partition"] == int(number)]
            highest = Counter(before["source_offsets"])
            for record in read:
                source = str(stream_of(record)[1])
                highest[source] = max(highest[source], int(record["origin"]))
            following = max([before["next_offset"], *(record["offset"] + 1 for record in read)])
            assert state == {"next_offset": following, "source_offsets": highest}


@pytest.mark.parametrize("case", RUNS.values(), ids=RUNS)
def test_vector_reads_one_log_and_continues_where_it_stopped(case: Mapping[str, Any]) -> None:
    stored: dict[str, Any] = {}
    log: dict[tuple[int, int], Any] = {}
    for run in case["runs"]:
        for number, given in run["assigned"].items():
            if number in stored and case["name"] != READ_BY_ANOTHER:
                assert given["state"] == stored[number]
        for record in [*run["records"], *run.get("lost", ())]:
            if "refused" not in record:
                assert log.setdefault((record["partition"], record["offset"]), record) == record
        stored |= run["stored"]
    for partition in {number for number, _ in log}:
        offsets = sorted(offset for number, offset in log if number == partition)
        assert offsets == list(range(offsets[0], offsets[-1] + 1)) or case["name"] == READ_BY_ANOTHER


@pytest.mark.parametrize("case", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("restart", [True, False], ids=["restarted", "reassigned"])
def test_helper_passes_the_vector(case: Mapping[str, Any], *, restart: bool) -> None:
    assert failures(case, SourceOffsets, restart=restart) == []


# Controls: what consumers often do in place of the rule.


class Naive:
    """A consumer that delivers every record once by its Kafka offset; the controls below add parts of the rule."""

    def __init__(self) -> None:
        self.following: dict[int, int] = {}
        self.highest: dict[Stream, Any] = {}

    def resume(self, partition: int, state: str | None, *, log_start: int, log_end: int) -> int:
        del log_end
        fields = json.loads(state or '{"next_offset": null, "source_offsets": {}}')
        self.following[partition] = log_start if fields["next_offset"] is None else fields["next_offset"]
        self.remember(partition, {int(name): highest for name, highest in fields["source_offsets"].items()})
        return self.following[partition]

    def remember(self, partition: int, highest: dict[int, int]) -> None:
        for stream in [stream for stream in self.highest if stream[0] == partition]:
            del self.highest[stream]
        self.highest |= {(partition, source): origin for source, origin in highest.items()}

    def stream(self, partition: int, source: int) -> Stream:
        return partition, source

    def is_repeat(self, stream: Stream, origin: int) -> bool:
        del stream, origin
        return False

    def is_new(self, partition: int, offset: int, headers: Headers) -> bool:
        source, origin = origin_of(partition, offset, headers)
        stream = self.stream(partition, source)
        fresh = offset >= self.following[partition] and not self.is_repeat(stream, origin)
        self.following[partition] = max(self.following[partition], offset + 1)
        if fresh:
            self.highest[stream] = origin
        return fresh

    def state(self, partition: int) -> str:
        highest = {source: origin for (number, source), origin in self.highest.items() if number == partition}
        return json.dumps({"next_offset": self.following[partition], "source_offsets": highest})


class Rule(Naive):
    """The whole rule, but for the refusals."""

    def is_repeat(self, stream: Stream, origin: int) -> bool:
        return bool(origin <= self.highest.get(stream, -1))


class WithoutStoredMemory(Rule):
    """Continues from the Kafka offset alone, as with automatic commits."""

    def remember(self, partition: int, highest: dict[int, int]) -> None:
        super().remember(partition, {})
        del highest


class WithOwnMemory(Rule):
    """Ignores what another consumer has stored once it has read a partition."""

    def remember(self, partition: int, highest: dict[int, int]) -> None:
        if all(number != partition for number, _ in self.highest):
            super().remember(partition, highest)


class WithOneHighest(Rule):
    """Has one highest source offset for all partitions."""

    def stream(self, partition: int, source: int) -> Stream:
        del partition, source
        return -1, -1


class ByPartitionOnly(Rule):
    """Ignores the header `origin_partition`."""

    def stream(self, partition: int, source: int) -> Stream:
        del source
        return partition, partition


class ByLast(Naive):
    """Compares with the record before."""

    def is_new(self, partition: int, offset: int, headers: Headers) -> bool:
        source, origin = origin_of(partition, offset, headers)
        fresh = super().is_new(partition, offset, headers)
        self.highest[self.stream(partition, source)] = origin
        return fresh

    def is_repeat(self, stream: Stream, origin: int) -> bool:
        return bool(origin <= self.highest.get(stream, -1))


class ByText(Rule):
    """Compares source offsets as text."""

    def is_repeat(self, stream: Stream, origin: int) -> bool:
        return str(origin) <= str(self.highest.get(stream, ""))


class KeepsEqual(Rule):
    """Takes a record that does not exceed the highest source offset but equals it."""

    def is_repeat(self, stream: Stream, origin: int) -> bool:
        return bool(origin < self.highest.get(stream, -1))


class BeginsAtZero(Rule):
    """Takes 0 for no source offset."""

    def is_repeat(self, stream: Stream, origin: int) -> bool:
        return bool(origin <= self.highest.get(stream, 0))


CONTROLS: Mapping[Callable[[], Consumer], str] = {
    Naive: "dip",
    WithoutStoredMemory: "restart_inside_a_dip",
    WithOwnMemory: READ_BY_ANOTHER,
    WithOneHighest: "partitions_are_independent",
    ByPartitionOnly: "identifies_by_source_partition",
    ByLast: "dip_of_a_whole_batch",
    ByText: "source_offsets_are_numbers",
    KeepsEqual: "repeat_of_the_last",
    BeginsAtZero: "source_offset_zero",
}
REFUSED = {"expired_records", "skipped_records", "recreated_topic", "recreated_topic_while_reading"}


@pytest.mark.parametrize(("control", "name"), CONTROLS.items())
def test_naive_consumer_fails_the_vector(control: Callable[[], Consumer], name: str) -> None:
    assert any("delivered" in failure for failure in failures(RUNS[name], control, restart=False))


def test_rule_without_refusals_fails_the_vectors_of_refusals_alone() -> None:
    assert {name for name, case in RUNS.items() if failures(case, Rule)} == REFUSED


def test_rule_without_stored_memory_passes_without_restarts() -> None:
    failed = {name for name, case in RUNS.items() if failures(case, WithoutStoredMemory)} - REFUSED

    assert failed >= {"restart_inside_a_dip", "restart_before_a_dip", "identifies_restart_inside_a_dip"}
    assert all(
        any(given["state"] for run in RUNS[name]["runs"] for given in run["assigned"].values()) for name in failed
    )


# The topics without source offsets: the statements of the page.

BY_KEY = {name: case for name, case in CASES.items() if case["rule"] != "source_offset"}


@pytest.mark.parametrize("case", BY_KEY.values(), ids=BY_KEY)
def test_statement_of_the_page_passes_the_vector(case: Mapping[str, Any]) -> None:
    topic = case["topic"].partition(".")[0]
    statement = CONSUMERS.block("postgresql", f"INTO {topic} ")
    with sqlite3.connect(":memory:") as db:
        db.execute(f"CREATE TABLE {topic} (key TEXT PRIMARY KEY, value TEXT, record_offset INTEGER)")
        for record in case["records"]:
            db.execute(statement, record)
        found = db.execute(f"SELECT key, value FROM {topic}")  # noqa: S608  # a name of the vectors
        assert dict(found) == case["expected"]


def test_vectors_have_each_topic_with_its_rule() -> None:
    assert {(case["topic"], case["rule"]) for case in CASES.values()} == {
        *((topic, "source_offset") for topic in ("events.v1", "duplicates.v1", "identifies.v1")),
        ("persons.v1", "last_of_key"),
        ("rejected.v1", "first_of_key"),
    }
