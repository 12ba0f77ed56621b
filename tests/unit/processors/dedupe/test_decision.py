"""The dedupe decision: pure, and the same for any cut of the log into slices."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from processors.dedupe.decision import ITEM_LIMIT_BYTES, decide, pack_entry, replay, unpack_entry
from tests.support.records import SlimRecord, event_read, identify, item_read, track

WINDOW_MS = 1_000


def run(records: list[SlimRecord], cuts: list[int]) -> tuple[list[int], dict[bytes, bytes | None]]:
    """Decide *records* slice by slice and return the origins that were new, and the marks."""
    marks: dict[bytes, bytes | None] = {}
    origins: list[int] = []
    edges = sorted({0, len(records), *(cut for cut in cuts if cut <= len(records))})
    for start, end in itertools.pairwise(edges):
        part = records[start:end]
        known = {record.key: marks.get(record.key) for record in part if record.key is not None}
        for record in decide(part, known, WINDOW_MS).unique:
            origins.append(record.offset)
            assert record.key is not None
            marks[record.key] = pack_entry(record.offset, record.timestamp)
    return origins, marks


def test_the_first_of_a_message_id_is_new_and_the_rest_are_duplicates() -> None:
    records = [item_read(0, track("a")), item_read(1, track("b")), item_read(2, track("a", user_id="other"))]
    decision = decide(records, {b"p/a": None, b"p/b": None}, WINDOW_MS)
    assert [record.offset for record in decision.unique] == [0, 1]
    assert decision.duplicates == 1


def test_a_mark_from_an_earlier_slice_makes_a_duplicate() -> None:
    decision = decide([item_read(9, track("a"), timestamp=500)], {b"p/a": pack_entry(3, 0)}, WINDOW_MS)
    assert (decision.unique, decision.duplicates) == ([], 1)


def test_a_mark_counts_for_the_window_and_not_longer() -> None:
    mark = {b"p/a": pack_entry(0, 0)}
    assert decide([item_read(1, track("a"), timestamp=WINDOW_MS - 1)], mark, WINDOW_MS).duplicates == 1
    assert len(decide([item_read(1, track("a"), timestamp=WINDOW_MS)], mark, WINDOW_MS).unique) == 1


def test_the_same_message_id_in_another_project_is_another_event() -> None:
    mine, theirs = SlimRecord(0, b"p/a", item_read(0, track("a")).value), item_read(1, track("a"))
    other = SlimRecord(1, b"q/a", (theirs.value or b"").replace(b'"projectId":"p"', b'"projectId":"q"'))
    assert len(decide([mine, other], {b"p/a": None, b"q/a": None}, WINDOW_MS).unique) == 2


def test_what_is_not_an_item_is_poison_and_the_rest_goes_on() -> None:
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
    assert [fault.code for fault in decision.poison] == codes


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 400)), max_size=40),
    st.lists(st.integers(0, 40), max_size=5),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_the_outcome_does_not_depend_on_how_the_log_is_cut(
    arrivals: list[tuple[str, int]], cuts: list[int], others: list[int]
) -> None:
    clock = 0
    records = []
    for offset, (message_id, later) in enumerate(arrivals):
        clock += later
        records.append(item_read(offset, track(message_id), timestamp=clock))
    assert run(records, cuts) == run(records, others)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 700)), max_size=30))
def test_replaying_the_output_gives_the_marks_that_writing_it_gave(arrivals: list[tuple[str, int]]) -> None:
    clock = 0
    records = []
    for offset, (message_id, later) in enumerate(arrivals):
        clock += later
        records.append(item_read(offset, track(message_id), timestamp=clock))
    origins, marks = run(records, [])
    written = [
        event_read(
            position,
            track((records[origin].key or b"")[2:].decode()),
            origin=origin,
            timestamp=records[origin].timestamp,
        )
        for position, origin in enumerate(origins)
    ]
    puts, processed_offset = replay(written, -1)
    assert {key: value for key, value, _ in puts} == marks
    assert processed_offset == max(origins, default=-1)


def test_replay_drops_what_a_woken_worker_wrote_again() -> None:
    log = [
        event_read(0, track("a"), origin=0, timestamp=10),
        event_read(1, track("b"), origin=5, timestamp=20),
        event_read(2, track("a"), origin=0, timestamp=99),
    ]
    puts, processed_offset = replay(log, -1)
    assert processed_offset == 5
    assert {key: unpack_entry(value or b"") for key, value, _ in puts} == {b"p/a": (0, 10), b"p/b": (5, 20)}
