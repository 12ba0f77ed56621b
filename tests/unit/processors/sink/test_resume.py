"""Where the sink continues: the search finds a safe start in logs with runs of records that were written late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.engine.stage import InputOffsets
from processors.sink import resume
from processors.sink.log_reader import OwnOffsetFinder, SourceOffsetFinder
from processors.sink.resume import (
    Found,
    Lag,
    Metadata,
    Window,
    decode_metadata,
    encode_metadata,
    lagging,
    read_window,
    search,
)
from tests.fakes.sink_log import MemoryTopics
from tests.support.records import SlimRecord

WINDOW = 40
"""Records of a window in these tests."""
RUN = 12
"""Longest batch of dedupe in these tests."""

OFFSET_GAPS = [1] * 8 + [2, 30]

Records = Sequence[tuple[int, int]]
"""Offset and source offset of each record."""


@pytest.fixture(autouse=True, scope="module")
def small_windows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "WINDOW_RECORDS", WINDOW)
        yield


@dataclass(frozen=True)
class Log:
    """A partition of `events.v1`, of which retention has left a part."""

    whole: Records
    left: Records

    @property
    def inputs(self) -> InputOffsets:
        end = self.whole[-1][0] + 1 if self.whole else 0
        return InputOffsets(self.left[0][0] if self.left else end, end)

    def lost(self, start: int, position: int) -> list[int]:
        """Return the source offsets above *position* that are left and that a reader from *start* on never sees."""
        seen = {source for at, source in self.left if at >= start}
        return [source for _, source in self.left if source > position and source not in seen]

    def expired(self, position: int) -> list[int]:
        """Return the source offsets above *position* that are not left."""
        left = {source for _, source in self.left}
        return [source for _, source in self.whole if source > position and source not in left]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Draw a log, with the gaps as bytes: a draw for each of them would take most of the time.

    Source offsets grow with gaps, since duplicates have no event. Batches that paused workers wrote late repeat earlier
    ones, in runs of at most `RUN`, at most three of them adjacent. Offsets have gaps as well. Retention has left the
    part from a record on that was not written late.
    """
    source_offsets: list[int] = []
    highest = -1
    for _ in range(draw(st.integers(0, 25))):
        for byte in draw(st.binary(min_size=1, max_size=RUN)):
            highest += 1 + byte % 4
            source_offsets.append(highest)
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 3]))):
            first = draw(st.integers(0, len(source_offsets) - 1))
            source_offsets += source_offsets[first : first + draw(st.integers(1, RUN))]
    gaps = draw(st.binary(min_size=len(source_offsets), max_size=len(source_offsets)))
    offsets = accumulate(OFFSET_GAPS[byte % len(OFFSET_GAPS)] for byte in gaps)
    whole = list(zip(offsets, source_offsets, strict=True))
    if not whole:
        return Log(whole, whole)
    maxima = [-1, *accumulate(source_offsets, max)]
    in_order = [at for at, source in enumerate(source_offsets) if source > maxima[at]]
    return Log(whole, whole[draw(st.sampled_from([0, len(whole), *in_order])) :])


def positions(log: Log) -> st.SearchStrategy[int]:
    return st.integers(-1, max([source for _, source in log.whole], default=0) + 2)


def found_in(log: Log, position: int) -> Found:
    topics = MemoryTopics()
    topics.records["events", 0] = [
        SlimRecord(at, headers=[("origin", str(source).encode())]) for at, source in log.left
    ]
    finder = SourceOffsetFinder("events", "items", topics.opened)
    return asyncio.run(finder.find(0, log.inputs, position))


@settings(max_examples=120)
@given(st.data())
def test_search_loses_no_record_and_notices_what_expired_unwritten(data: st.DataObject) -> None:
    log = data.draw(logs())
    position = data.draw(positions(log))
    found = found_in(log, position)
    assert log.lost(found.offset, position) == []
    if found.is_complete:
        assert log.expired(position) == []


def test_search_over_single_records_loses_records() -> None:
    """Control: a plain bisection takes a run that was written late for the part before the position."""
    source_offsets = [*range(150), *range(20, 32), *range(150, 300)]
    log = Log(*[list(enumerate(source_offsets))] * 2)
    losses = [log.lost(bisected(log, position, single_record), position) for position in range(32, 149)]
    assert any(losses)
    assert not any(log.lost(bisected(log, position, window), position) for position in range(-1, 300))


def bisected(log: Log, position: int, probe: Callable[[Log, int, int], Window]) -> int:
    steps = search(log.inputs.log_start, log.inputs.log_end)
    try:
        offset = next(steps)
        while True:
            offset = steps.send(probe(log, offset, position))
    except StopIteration as found:
        return int(found.value)


def window(log: Log, offset: int, position: int) -> Window:
    return read_window([source for at, source in log.left if at >= offset], position)


def single_record(log: Log, offset: int, position: int) -> Window:
    """Take one record that does not exceed the position for a whole window."""
    found = read_window([source for at, source in log.left if at >= offset][:1], position)
    found.records *= WINDOW
    return found


def test_search_reads_few_windows_of_a_long_log() -> None:
    source_offsets = range(10_000_000)
    read: list[int] = []

    def probe(log: Log, offset: int, position: int) -> Window:
        del log
        read.append(offset)
        return read_window(source_offsets[offset : offset + 2 * WINDOW], position)

    log = Log([(0, 0), (9_999_999, 9_999_999)], [(0, 0)])
    assert 7_654_321 - 3 * WINDOW <= bisected(log, 7_654_321, probe) <= 7_654_322
    assert len(read) <= resume.windows_needed(0, 10_000_000) == 18


def test_window_ends_at_its_limit_of_bytes() -> None:
    window = Window(10)
    window.add(3, resume.WINDOW_BYTES)
    assert window.is_full


@pytest.mark.parametrize(
    ("source_offsets", "follows"),
    [
        ([5, 9, 12], False),
        ([5, 10, 12], True),
        ([11, 12], True),
        ([12, 13], False),
        ([], False),
        ([3] * WINDOW, True),
        ([3] * (WINDOW - 1), False),
    ],
)
def test_log_follows_a_position_if_nothing_can_be_missing(source_offsets: list[int], *, follows: bool) -> None:
    assert read_window(source_offsets, 10).follows_position is follows


async def test_topic_that_is_its_own_source_needs_no_search() -> None:
    finder = OwnOffsetFinder("persons")
    assert await finder.find(0, InputOffsets(5, 20), 9) == Found(10, is_complete=True, first=10)
    assert await finder.find(0, InputOffsets(5, 20), 4) == Found(5, is_complete=True, first=5)
    assert await finder.find(0, InputOffsets(5, 20), 3) == Found(5, is_complete=False, first=5)
    assert finder.known_start(9) == 10


def test_metadata_of_a_commit_has_the_positions() -> None:
    metadata = Metadata(1, {"events": 123, "identifies": -1})
    assert encode_metadata(metadata) == '{"log":1,"positions":{"events":123,"identifies":-1}}'
    for each in (metadata, Metadata(1, {"events": 123}, "an-id")):
        assert decode_metadata(encode_metadata(each)) == each


@pytest.mark.parametrize("text", ["", "anything", "{}", '{"log": 1}', '{"log": 1, "positions": 3}'])
def test_other_metadata_says_nothing(text: str) -> None:
    assert decode_metadata(text).positions == {}


def test_metadata_beyond_the_limit_of_the_broker_is_left_out() -> None:
    assert encode_metadata(Metadata(1, {f"table{number}": number for number in range(1_000)})) == ""


def test_table_below_its_committed_position_lags() -> None:
    now, committed = {"events": 5, "identifies": 7, "other": -1}, {"events": 6, "identifies": 7}
    assert lagging(now, committed) == [Lag("events", 5, 6)]
