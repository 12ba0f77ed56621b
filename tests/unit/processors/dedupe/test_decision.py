"""The dedupe decision: the same for any division of the log into batches."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from processors.dedupe.decision import ITEM_LIMIT_BYTES, Decision, decide, pack_entry, replay, unpack_entry
from tests.support.records import SlimRecord, event_read, identify, item_read, track

WINDOW_MS = 1_000


def decide_in_batches(records: list[SlimRecord], cuts: list[int]) -> tuple[list[int], dict[bytes, bytes | None]]:
    """Decide *records* in batches that end at *cuts*; return the unique offsets and the dedupe entries."""
    entries: dict[bytes, bytes | None] = {}
    unique: list[int] = []
    edges = sorted({0, len(records), *(cut for cut in cuts if cut <= len(records))})
    for start, end in itertools.pairwise(edges):
        part = records[start:end]
        known = {record.key: entries.get(record.key) for record in part if record.key is not None}
        for record in decide(part, known, WINDOW_MS).unique:
            unique.append(record.offset)
            assert record.key is not None
            entries[record.key] = pack_entry(record.offset, record.timestamp)
    return unique, entries


def duplicates(records: list[SlimRecord], decision: Decision) -> int:
    """Return the number of *records* that are neither unique nor rejected."""
    return len(records) - len(decision.unique) - len(decision.rejected)


def test_repeated_message_id_in_a_batch_is_a_duplicate() -> None:
    records = [item_read(0, track("a")), item_read(1, track("b")), item_read(2, track("a", user_id="other"))]
    decision = decide(records, {b"p/a": None, b"p/b": None}, WINDOW_MS)
    assert [record.offset for record in decision.unique] == [0, 1]
    assert duplicates(records, decision) == 1


def test_message_id_with_an_entry_is_a_duplicate() -> None:
    records = [item_read(9, track("a"), timestamp=500)]
    decision = decide(records, {b"p/a": pack_entry(3, 0)}, WINDOW_MS)
    assert (decision.unique, duplicates(records, decision)) == ([], 1)


def test_entry_older_than_the_window_makes_no_duplicate() -> None:
    entry = {b"p/a": pack_entry(0, 0)}
    within, beyond = ([item_read(1, track("a"), timestamp=time)] for time in (WINDOW_MS - 1, WINDOW_MS))
    assert duplicates(within, decide(within, entry, WINDOW_MS)) == 1
    assert len(decide(beyond, entry, WINDOW_MS).unique) == 1


def test_same_message_id_in_another_project_is_unique() -> None:
    mine, theirs = SlimRecord(0, b"p/a", item_read(0, track("a")).value), item_read(1, track("a"))
    other = SlimRecord(1, b"q/a", (theirs.value or b"").replace(b'"projectId":"p"', b'"projectId":"q"'))
    assert len(decide([mine, other], {b"p/a": None, b"q/a": None}, WINDOW_MS).unique) == 2


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
    assert [record.offset for record in decision.unique] == [4]
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
    records = []
    for offset, (message_id, later) in enumerate(arrivals):
        clock += later
        records.append(item_read(offset, track(message_id), timestamp=clock))
    unique, entries = decide_in_batches(records, [])
    written = [
        event_read(
            offset,
            track((records[source_offset].key or b"")[2:].decode()),
            source_offset=source_offset,
            timestamp=records[source_offset].timestamp,
        )
        for offset, source_offset in enumerate(unique)
    ]
    puts, processed_offset = replay(written, -1)
    assert {key: value for key, value, _ in puts} == entries
    assert processed_offset == max(unique, default=-1)


def test_replay_drops_records_repeated_by_a_resumed_worker() -> None:
    log = [
        event_read(0, track("a"), source_offset=0, timestamp=10),
        event_read(1, track("b"), source_offset=5, timestamp=20),
        event_read(2, track("a"), source_offset=0, timestamp=99),
    ]
    puts, processed_offset = replay(log, -1)
    assert processed_offset == 5
    assert {key: unpack_entry(value or b"") for key, value, _ in puts} == {b"p/a": (0, 10), b"p/b": (5, 20)}
