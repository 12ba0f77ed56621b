"""The dedupe decision: the same for any division of the log into batches."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.dedupe.decision import ITEM_LIMIT_BYTES, Decision, decide, pack_entry, replay, unpack_entry
from schemas.items import Identify, Track
from schemas.records import content_digest, event_headers, source_offset_of
from tests.support.records import SlimRecord, event_read, identify, item_read, track

WINDOW_MS = 1_000


def decide_in_batches(records: list[SlimRecord], cuts: list[int]) -> tuple[list[int], dict[bytes, bytes | None]]:
    """Decide *records* in batches that end at *cuts*; return the offsets of the events and the dedupe entries."""
    entries: dict[bytes, bytes | None] = {}
    unique: list[int] = []
    edges = sorted({0, len(records), *(cut for cut in cuts if cut <= len(records))})
    for start, end in itertools.pairwise(edges):
        part = records[start:end]
        known = {record.key: entries.get(record.key) for record in part if record.key is not None}
        decision = decide(part, known, WINDOW_MS)
        unique += offsets(decision)
        entries.update({key: entry for key, entry, _ in decision.entries})
    return unique, entries


def offsets(decision: Decision) -> list[int]:
    """Return the source offsets of the events."""
    return [source_offset_of(event.headers) for event in decision.events]


def duplicates(records: list[SlimRecord], decision: Decision) -> int:
    """Return the number of duplicates, which are all that is neither an event nor rejected."""
    assert len(decision.duplicates) == len(records) - len(decision.events) - len(decision.rejected)
    return len(decision.duplicates)


def test_repeated_message_id_in_a_batch_is_a_duplicate() -> None:
    records = [item_read(0, track("a")), item_read(1, track("b")), item_read(2, track("a", user_id="other"))]
    decision = decide(records, {b"p/a": None, b"p/b": None}, WINDOW_MS)
    assert offsets(decision) == [0, 1]
    assert duplicates(records, decision) == 1


def test_message_id_with_an_entry_is_a_duplicate() -> None:
    records = [item_read(9, track("a"), timestamp=500)]
    decision = decide(records, {b"p/a": pack_entry(3, 0)}, WINDOW_MS)
    assert (decision.events, duplicates(records, decision)) == ([], 1)


def test_entry_older_than_the_window_makes_no_duplicate() -> None:
    entry = {b"p/a": pack_entry(0, 0)}
    within, beyond = ([item_read(1, track("a"), timestamp=time)] for time in (WINDOW_MS - 1, WINDOW_MS))
    assert duplicates(within, decide(within, entry, WINDOW_MS)) == 1
    assert len(decide(beyond, entry, WINDOW_MS).events) == 1


def test_same_message_id_in_another_project_is_unique() -> None:
    mine, theirs = SlimRecord(0, b"p/a", item_read(0, track("a")).value), item_read(1, track("a"))
    other = SlimRecord(1, b"q/a", (theirs.value or b"").replace(b'"projectId":"p"', b'"projectId":"q"'))
    assert len(decide([mine, other], {b"p/a": None, b"q/a": None}, WINDOW_MS).events) == 2


def test_invalid_records_are_rejected_and_the_others_processed() -> None:
    good = item_read(4, track("a"))
    records = [
        SlimRecord(0, b"p/x", b"{not json"),
        SlimRecord(1, None, b"{}"),
        SlimRecord(2, b"p/x", None),
        SlimRecord(3, b"p/other", good.value),
        good,
        SlimRecord(5, b"p/big", b'"' + b"x" * ITEM_LIMIT_BYTES + b'"'),
        item_read(6, identify("b", user_id="u" * 500_000)),
        item_read(7, track("c" * 500_000)),
    ]
    decision = decide(records, {record.key or b"": None for record in records}, WINDOW_MS)
    assert offsets(decision) == [4]
    codes = [
        "not_an_item",
        "not_an_item",
        "not_an_item",
        "key_mismatch",
        "item_too_large",
        "id_too_long",
        "id_too_long",
    ]
    assert [each.code for each in decision.rejected] == codes


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 400)), max_size=40),
    st.lists(st.integers(0, 40), max_size=5),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_decision_does_not_depend_on_batch_boundaries(
    arrivals: list[tuple[str, int]], cuts: list[int], others: list[int]
) -> None:
    clock = 0
    records = []
    for offset, (message_id, later) in enumerate(arrivals):
        clock += later
        records.append(item_read(offset, track(message_id), timestamp=clock))
    assert decide_in_batches(records, cuts) == decide_in_batches(records, others)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 700)), max_size=30))
def test_replay_of_the_output_restores_the_entries(arrivals: list[tuple[str, int]]) -> None:
    clock = 0
    entries: dict[bytes, bytes | None] = {}
    written: list[SlimRecord] = []
    for offset, (message_id, later) in enumerate(arrivals):
        clock += later
        record = item_read(offset, track(message_id), timestamp=clock)
        decision = decide([record], {record.key or b"": entries.get(record.key or b"")}, WINDOW_MS)
        entries.update({key: entry for key, entry, _ in decision.entries})
        for event in decision.events:
            # The broker stamps events with the time of writing.
            written.append(SlimRecord(len(written), event.key, event.value, 10**12, tuple(event.headers)))
    puts, processed_offset = replay(written, -1)
    assert {key: value for key, value, _ in puts} == entries
    assert processed_offset == max((source_offset_of(event.headers) for event in written), default=-1)


def test_replay_takes_the_own_time_of_records_without_the_header() -> None:
    puts, _ = replay([event_read(0, track("a"), source_offset=7, timestamp=123)], -1)
    assert puts == [(b"p/a", pack_entry(7, 123), 123)]


def test_replay_ignores_the_order_of_headers_and_those_of_a_later_version() -> None:
    event = decide([item_read(3, track("a"), timestamp=55)], {b"p/a": None}, WINDOW_MS).events[0]
    written = [SlimRecord(0, event.key, event.value, 99, tuple(event.headers))]
    turned = [SlimRecord(0, event.key, event.value, 99, (("later", b"1"), *reversed(tuple(event.headers))))]
    assert replay(turned, -1) == replay(written, -1)


def test_replay_drops_records_repeated_by_a_resumed_worker() -> None:
    log = [
        event_read(0, track("a"), source_offset=0, timestamp=10),
        event_read(1, track("b"), source_offset=5, timestamp=20),
        event_read(2, track("a"), source_offset=0, timestamp=99),
    ]
    puts, processed_offset = replay(log, -1)
    assert processed_offset == 5
    assert {key: unpack_entry(value or b"") for key, value, _ in puts} == {b"p/a": (0, 10, b""), b"p/b": (5, 20, b"")}


def test_headers_of_an_event_are_those_of_the_contract() -> None:
    item = track("a/b", properties=b'{"x":1}')
    event = decide([item_read(3, item, timestamp=55)], {b"p/a/b": None}, WINDOW_MS).events[0]
    assert tuple(event.headers) == event_headers(b"a/b", 3, 55, content_digest(item))


def duplicate_of(first: Track | Identify, second: Track | Identify) -> dict[str, bytes]:
    """Return the headers of *second* on `duplicates.v1`, after *first* in a batch before and in the same batch."""
    records = [item_read(4, first), item_read(9, second)]
    together = decide(records, {b"p/a": None}, WINDOW_MS)
    entries = {key: entry for key, entry, _ in decide(records[:1], {b"p/a": None}, WINDOW_MS).entries}
    apart = decide(records[1:], entries, WINDOW_MS)
    assert apart.duplicates == together.duplicates
    [duplicate] = together.duplicates
    assert (duplicate.key, duplicate.value) == (b"p/a", records[1].value)
    return dict(duplicate.headers)


def test_retry_with_another_time_of_receipt_is_a_duplicate_with_the_same_content() -> None:
    retry = msgspec.structs.replace(
        track("a"), received_at="2026-01-01T00:09:00.000000Z", sent_at="2026-01-01T00:08:59.000000Z"
    )
    assert duplicate_of(track("a"), retry) == {"origin": b"9", "first_origin": b"4", "same_content": b"true"}


@pytest.mark.parametrize(
    "other",
    [
        track("a", user_id="other"),
        track("a", event="Other"),
        track("a", properties=b'{"price":1}'),
        msgspec.structs.replace(track("a"), original_timestamp="2026-01-01T00:00:00.000000Z"),
        identify("a"),
    ],
    ids=["user", "event", "properties", "timestamp", "type"],
)
def test_same_message_id_with_other_content_is_told_apart(other: Track | Identify) -> None:
    assert duplicate_of(track("a"), other) == {"origin": b"9", "first_origin": b"4", "same_content": b"false"}


def test_content_is_unknown_if_the_event_has_no_digest() -> None:
    decision = decide([item_read(9, track("a"))], {b"p/a": pack_entry(4, 0)}, WINDOW_MS)
    assert dict(decision.duplicates[0].headers) == {"origin": b"9", "first_origin": b"4"}
