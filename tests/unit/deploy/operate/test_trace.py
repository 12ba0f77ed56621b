"""What rows and records tell of a messageId."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from deploy.commands.trace import lines
from deploy.operate.offsets import Input
from deploy.operate.trace_records import Records, add_persons, add_records, add_rejections
from deploy.operate.trace_result import Facts, Looked, Occurrence, Trace
from deploy.operate.trace_tables import Rows, add_rows
from deploy.operate.trace_tables import add_rejections as add_rejected_rows
from deploy.operate.trace_tables import is_inserted as is_inserted_part
from schemas.items import Rejection
from schemas.records import (
    duplicate_headers,
    encode_item,
    event_headers,
    identify_headers,
    item_key,
    person_key,
    rejection_record,
)
from tests.support.records import identify, track

NOW = 1_000.0
TIME = "2026-01-01 00:00:01.000000"


@dataclass(frozen=True, slots=True)
class Read:
    """A record with the attributes of aiokafka's."""

    offset: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes = item_key("p", "m")
    partition: int = 0
    timestamp: int = int(1000 * NOW) - 3_000
    """In milliseconds since 1970: 3 seconds ago."""


def records(committed: int = 0, **found: Read) -> Records:
    """Return *found*, by topic, of stages that have committed *committed* in each topic."""
    names = {name: f"{name}.v1" for name in ("items", "events", "duplicates", "identifies", "rejected")}
    inputs = {(name, 0): Input(name, 0, 0, 10, committed) for name in names.values()}
    by_name: dict[str, dict[tuple[int, int], Any]] = defaultdict(dict)
    for name, record in found.items():
        by_name[names[name]][record.partition, record.offset] = record
    oldest_ms = dict.fromkeys(inputs, int(1000 * NOW) - 5_000)
    return Records("m", ["p"], NOW, by_name, inputs, oldest_ms)


def row(table: str, offset: int, **columns: Any) -> Rows:
    common = {"project_id": "p", "type": "track", "event": "Clicked", "user_id": "u", "received_at": TIME, "_token": ""}
    common["time"] = "2026-01-01T00:00:00.500000Z"
    place = {"_log": 1, "_partition": 0, "_origin": offset, "_part": "all_1_1_0"}
    return Rows({table: [{**common, **place, **columns}]}, {(table, "all_1_1_0"): "2026-01-01T00:00:02Z"})


def traced(found: Records, rows: Rows | None = None) -> list[Occurrence]:
    facts = Facts(1)
    if rows is not None:
        add_rows(facts, rows)
    add_records(facts, found)
    if rows is not None:
        add_rejected_rows(facts, rows)
    add_rejections(facts, found)
    add_persons(facts.occurrences(), found)
    facts.name_first()
    return facts.occurrences()


def item(offset: int) -> Read:
    return Read(offset, encode_item(track("m")))


def event(offset: int, source_offset: int) -> Read:
    return Read(offset, encode_item(track("m")), event_headers(b"m", source_offset))


def shown(occurrences: list[Occurrence]) -> str:
    return "\n".join(
        lines(Trace(message_id="m", occurrences=occurrences, tables=["events"], topics=[], notes=["A note."]))
    )


def test_item_that_dedupe_has_not_read_waits_with_the_records_before_it() -> None:
    (found,) = traced(records(3, items=item(7)))

    assert (found.dedupe, found.row, found.partition, found.offset) == ("waiting", "waiting", 0, 7)
    assert found.waiting is not None
    assert (found.waiting.stage, found.waiting.records, found.waiting.seconds) == ("dedupe", 4, 5.0)
    waits = "it has waited 3 s for dedupe, 4 records are before it in its partition, the oldest 5 s old"
    assert f"Dedupe    not processed yet: {waits}. Run" in shown([found])
    assert found.waiting.waited_seconds == 3.0


def test_event_that_the_sink_has_not_read_is_unique_and_waits_for_its_row() -> None:
    (found,) = traced(records(3, items=item(7), events=event(5, 7)))

    assert (found.dedupe, found.row, found.table) == ("unique", "waiting", "events")
    assert found.waiting is not None
    assert (found.waiting.stage, found.waiting.records) == ("sink", 2)


def test_row_of_an_unprocessed_record_is_visible() -> None:
    (found,) = traced(records(3, items=item(7), events=event(5, 7)), row("events", 7))

    assert (found.row, found.waiting, found.visible_by) == ("visible", None, "2026-01-01T00:00:02Z")
    assert "Row       visible in events since 2026-01-01 00:00:02 UTC" in shown([found])
    assert "\n  Timestamp 2026-01-01 00:00:00.500 UTC\n" in shown([found])


@pytest.mark.parametrize(
    ("part", "is_inserted"), [("202601_4_4_0", True), ("202601_1_4_1", False), ("202601_4_4_0_7", False)]
)
def test_part_that_a_merge_or_a_deletion_wrote_tells_nothing_of_its_rows(part: str, is_inserted: bool) -> None:  # noqa: FBT001
    assert is_inserted_part(part) == is_inserted


@pytest.mark.parametrize(
    ("sent", "expected"), [("2026-01-01T00:00:00Z", "2026-01-01 00:00:00 UTC"), ("Tuesday", "'Tuesday'")]
)
def test_rejected_item_has_its_timestamp_as_it_was_sent(sent: str, expected: str) -> None:
    content = b'{"messageId":"m","timestamp":"%s"}' % sent.encode()
    rejection = Rejection("p", "gateway", "user_id_required", "It is required.", "2026-01-01T00:00:03.000000Z")
    (found,) = traced(records(rejected=Read(1, rejection_record(rejection, content).value)))

    assert f"\n  Timestamp {expected}\n" in shown([found])


def test_event_that_the_sink_has_read_and_that_has_no_row_is_missing() -> None:
    (found,) = traced(records(6, events=event(5, 4)))

    assert (found.row, found.waiting) == ("missing", None)
    assert "run `sequence audit`" in shown([found])


def test_duplicate_names_the_item_that_it_repeats() -> None:
    repeat = Read(2, encode_item(track("m")), duplicate_headers(8, 7, same_content=False))
    first, second = traced(records(duplicates=repeat), row("events", 7))

    assert (first.dedupe, second.dedupe, second.same_content) == ("unique", "duplicate", False)
    assert second.first is not None
    assert (second.first.offset, second.first.received_at) == (7, first.received_at)
    assert "duplicate of offset 7, received 2026-01-01 00:00:01.000 UTC, other content" in shown([second])


def test_row_and_record_of_a_duplicate_are_one_occurrence() -> None:
    repeat = Read(2, encode_item(track("m")), duplicate_headers(8, 7, same_content=True))
    (found,) = traced(records(duplicates=repeat), row("duplicates", 8, first_origin=7, same_content=True))

    assert (found.dedupe, found.row, found.table) == ("duplicate", "visible", "duplicates")


def test_rows_of_another_log_are_other_occurrences() -> None:
    found = traced(records(events=event(5, 7)), row("events", 7, _log=2))

    assert [(each.log, each.row) for each in found] == [(2, "visible"), (1, "waiting")]


@pytest.mark.parametrize(("is_read", "expected"), [(True, "waiting"), (False, "folded")])
def test_identify_is_folded_unless_the_persons_worker_has_it_before_it(is_read: bool, expected: str) -> None:  # noqa: FBT001
    unfolded = Read(4, encode_item(identify("m")), identify_headers(b"m", 7, 0), key=person_key("p", "u"))
    found = records(2, identifies=unfolded) if is_read else records(2)
    (each,) = traced(found, row("identifies", 7, type="identify"))

    assert each.persons == expected
    assert (each.waiting is not None and each.waiting.records == 2) is is_read


def rejected(stage: str, offset: int = 0, **fields: Any) -> Read:
    rejection = Rejection("p", stage, "user_id_required", "It is required.", "2026-01-01T00:00:03.000000Z", **fields)
    record = rejection_record(rejection, b'{"messageId":"m","type":"track","event":7,"userId":"ada"}')
    return Read(offset, record.value, key=record.key)


def test_item_rejected_by_the_gateway_has_reason_and_place() -> None:
    (found,) = traced(records(rejected=rejected("gateway", 9, field="userId", message_id="m", request_id="r")))

    assert (found.verdict, found.partition, found.dedupe, found.type, found.user_id) == (
        *("rejected", None, None, "track", "ada"),
    )
    text = shown([found])
    assert "by gateway at 2026-01-01 00:00:03.000 UTC: user_id_required, field userId" in text
    assert "Content: rejected.v1, partition 0, offset 9" in text
    assert "Request: r" in text


def test_rejection_is_known_by_its_content_alone() -> None:
    (found,) = traced(records(rejected=rejected("sink")))

    assert found.row == "rejected"


def test_rejection_of_another_message_or_project_is_left_out() -> None:
    other = rejected("gateway", message_id="another")
    assert traced(records(rejected=other)) == []

    elsewhere = records(rejected=rejected("gateway", message_id="m"))
    elsewhere.projects = ["q"]
    assert traced(elsewhere) == []


def test_row_and_record_of_a_rejection_count_once() -> None:
    rows = row(
        "rejected", 9, stage="persons", code="person_too_large", field="", message="Too large.", rejected_at=TIME,
        request_id="", source_topic="items.v1", source_partition=0, source_offset=7,
    )  # fmt: skip
    found = traced(records(rejected=rejected("persons", 9, message_id="m"), events=event(5, 7)), rows)

    assert [(each.offset, each.persons, each.dedupe) for each in found] == [(7, "rejected", "unique")]


def test_nothing_found_says_where_was_looked() -> None:
    looked = Looked(
        topic="items.v1", partitions=(2,), records=5, is_complete=False, since="2026-01-01T00:00:00.000000Z"
    )
    trace = Trace(message_id="m", project_id="p", occurrences=[], tables=["events"], topics=[looked], notes=[])
    text = "\n".join(lines(trace))

    assert "No item of project p with the messageId m was found." in text
    assert "items.v1: read 5 records since 2026-01-01 00:00:00.000 UTC, a part of the topic." in text


def test_json_has_the_fields_that_the_help_names() -> None:
    (found,) = traced(records(3, items=item(7)))
    fields = msgspec.to_builtins(found)

    assert {"possibleTokens", "sameContent", "visibleBy", "userId"} <= fields.keys()
