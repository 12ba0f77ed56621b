"""Wrong clocks: an item is a duplicate by the clocks that are right, and a rebuild gives the same entries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.dedupe import decision
from processors.dedupe.clock_log import ClockLog
from processors.dedupe.clocks import Disagreement, agreeing, disputed_time, wrong_clock
from processors.dedupe.decision import decide, replay
from processors.engine.rocksdb import StoreConfig
from processors.engine.window_clock import TOLERANCE_MS, UNSET
from schemas.records import source_offset_of
from schemas.times import format_time
from tests.fakes.store import MemoryPartitionStore
from tests.support.records import SlimRecord, item_read, track

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WINDOW = 7 * DAY
NOW = 1_795_000_000_000
"""In November 2026."""
CONFIG = StoreConfig(window_ms=WINDOW)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An item, when it arrives, and how far the clocks that stamp it are ahead."""

    message_id: str
    at_ms: int
    broker_ahead_ms: int = 0
    gateway_ahead_ms: int = 0

    @property
    def right(self) -> bool:
        return self.broker_ahead_ms == self.gateway_ahead_ms == 0

    def read(self, offset: int) -> SlimRecord:
        received_at = format_time((self.at_ms + self.gateway_ahead_ms) * 1000)
        item = msgspec.structs.replace(track(self.message_id), received_at=received_at)
        return item_read(offset, item, timestamp=self.at_ms + self.broker_ahead_ms)


@dataclass(slots=True)
class Dedupe:
    """A partition of dedupe: its store, and what it has written."""

    store: MemoryPartitionStore = field(default_factory=lambda: MemoryPartitionStore(CONFIG))
    events: list[SlimRecord] = field(default_factory=list)
    duplicates: set[int] = field(default_factory=set)
    disagreements: list[Disagreement] = field(default_factory=list)
    read: int = 0

    def process(self, *arrivals: Arrival) -> Dedupe:
        """Process *arrivals* as one batch."""
        records = [arrival.read(self.read + number) for number, arrival in enumerate(arrivals)]
        self.read += len(records)
        keys = [record.key or b"" for record in records]
        found = decide(records, dict(zip(keys, self.store.get_many(keys), strict=True)), WINDOW, self.store.clock_ms)
        for event in found.events:
            # The broker stamps events when they are written: at any time.
            self.events.append(SlimRecord(len(self.events), event.key, event.value, 0, tuple(event.headers)))
        self.duplicates |= {source_offset_of(each.headers) for each in found.duplicates}
        self.disagreements += found.disagreements
        self.store.apply(found.entries, changelog_offset=len(self.events) - 1, processed_offset=self.read - 1)
        assert len(self.events) + len(self.duplicates) == self.read
        return self

    def restarted(self, size: int = 3) -> Dedupe:
        """Return a worker whose store is rebuilt from the events, in batches of *size*."""
        rebuilt = Dedupe(MemoryPartitionStore(CONFIG), list(self.events), set(self.duplicates), read=self.read)
        processed = -1
        for start in range(0, len(self.events), size):
            part = self.events[start : start + size]
            puts, processed = replay(part, processed)
            rebuilt.store.apply(puts, changelog_offset=part[-1].offset, processed_offset=processed)
        return rebuilt


ERRORS = st.sampled_from(
    [
        *(0, 0, MINUTE, 59 * MINUTE, 2 * HOUR, 3 * DAY, 30 * DAY, 365 * DAY),
        *(-MINUTE, -59 * MINUTE, -2 * HOUR, -3 * DAY, -365 * DAY, -NOW),
    ]
)
ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from([0, 1, MINUTE, HOUR, DAY // 2, DAY, 8 * DAY]), ERRORS, st.booleans()
    ),
    max_size=40,
)


def arrivals_of(steps: Iterable[tuple[str, int, int, bool]]) -> list[Arrival]:
    """Return arrivals of which at most one clock is wrong, after one with right clocks."""
    at_ms, arrivals = NOW, [Arrival("first", NOW)]
    for message_id, later_ms, error_ms, of_broker in steps:
        at_ms += later_ms
        arrivals.append(Arrival(message_id, at_ms, error_ms * of_broker, error_ms * (not of_broker)))
    return arrivals


def processed(arrivals: Sequence[Arrival], size: int) -> Dedupe:
    dedupe = Dedupe()
    for start in range(0, len(arrivals), size):
        dedupe.process(*arrivals[start : start + size])
    return dedupe


def unrecognised(arrivals: Sequence[Arrival], dedupe: Dedupe) -> list[int]:
    """Return the offsets of events that repeat an item within the window, both with right clocks."""
    latest: dict[str, int] = {}
    found = []
    for offset, arrival in enumerate(arrivals):
        if not arrival.right:
            continue
        before = latest.get(arrival.message_id)
        if before is not None and arrival.at_ms - before < WINDOW and offset not in dedupe.duplicates:
            found.append(offset)
        # A duplicate does not begin a window.
        if before is None or offset not in dedupe.duplicates:
            latest[arrival.message_id] = arrival.at_ms
    return found


@settings(max_examples=300)
@given(ARRIVALS, st.integers(1, 10), st.integers(1, 10))
def test_duplicates_with_right_clocks_are_recognised_whatever_other_clocks_say(
    steps: list[tuple[str, int, int, bool]], size: int, other_size: int
) -> None:
    arrivals = arrivals_of(steps)
    dedupe = processed(arrivals, size)

    assert unrecognised(arrivals, dedupe) == []
    rebuilt = dedupe.restarted(other_size)
    assert (rebuilt.store.entries(), rebuilt.store.clock_ms) == (dedupe.store.entries(), dedupe.store.clock_ms)


@settings(max_examples=300)
@given(ARRIVALS, st.integers(1, 10))
def test_item_after_the_window_counts_again_whatever_other_clocks_say(
    steps: list[tuple[str, int, int, bool]], size: int
) -> None:
    arrivals = arrivals_of(steps)
    dedupe = processed(arrivals, size)

    latest: dict[str, int] = {}
    for offset, arrival in enumerate(arrivals):
        quiet_ms = arrival.at_ms - latest.get(arrival.message_id, -DAY)
        if arrival.right and quiet_ms >= WINDOW + TOLERANCE_MS:
            assert offset not in dedupe.duplicates
        latest[arrival.message_id] = arrival.at_ms


@settings(max_examples=100)
@given(ARRIVALS, st.integers(1, 10), st.integers(1, 10))
def test_rebuilt_entries_are_those_of_the_worker_even_if_both_clocks_are_wrong(
    steps: list[tuple[str, int, int, bool]], size: int, other_size: int
) -> None:
    arrivals = [Arrival(each.message_id, each.at_ms, *[each.broker_ahead_ms] * 2) for each in arrivals_of(steps)]
    dedupe = processed([each for each in arrivals if each.at_ms + each.broker_ahead_ms >= 0], size)

    rebuilt = dedupe.restarted(other_size)
    assert (rebuilt.store.entries(), rebuilt.store.clock_ms) == (dedupe.store.entries(), dedupe.store.clock_ms)


def test_trust_in_every_time_of_the_broker_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "disputed_time", lambda disagreement: disagreement.broker_ms)
    arrivals = [Arrival("a", NOW), Arrival("b", NOW + 1, broker_ahead_ms=365 * DAY), Arrival("a", NOW + MINUTE)]

    assert unrecognised(arrivals, processed(arrivals, 1)) == [2]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("broker_ms", "gateway_ms"),
    [(365 * DAY, 0), (2 * HOUR, 0), (0, 2 * HOUR), (0, 365 * DAY), (-2 * HOUR, 0), (0, -2 * HOUR), (0, -NOW)],
    ids=[
        *("broker next year", "broker ahead", "gateway ahead", "gateway next year"),
        *("broker behind", "gateway behind", "gateway at 1970"),
    ],
)
def test_duplicates_are_recognised_before_during_and_after_a_wrong_clock(
    broker_ms: int, gateway_ms: int, *, restart: bool
) -> None:
    dedupe = Dedupe().process(Arrival("before", NOW))
    dedupe.process(Arrival("during", NOW + HOUR, broker_ms, gateway_ms))
    dedupe.process(*(Arrival(name, NOW + HOUR + 1, broker_ms, gateway_ms) for name in ("before", "during")))
    dedupe.process(Arrival("after", NOW + 3 * HOUR))
    if restart:
        dedupe = dedupe.restarted()
    dedupe.process(*(Arrival(name, NOW + DAY) for name in ("before", "during", "after", "new")))

    assert len(dedupe.events) == 4
    assert dedupe.duplicates == {2, 3, 5, 6, 7}


def test_time_of_an_item_is_that_of_the_broker_if_the_clocks_agree() -> None:
    dedupe = Dedupe().process(Arrival("a", NOW, broker_ahead_ms=59 * MINUTE), Arrival("b", NOW + MINUTE))

    assert [dict(event.headers)["time"] for event in dedupe.events] == [
        b"%d" % (NOW + 59 * MINUTE),
        b"%d" % (NOW + MINUTE),
    ]
    assert dedupe.disagreements == []


def test_window_moves_on_after_a_quiet_night() -> None:
    dedupe = Dedupe().process(Arrival("a", NOW))
    dedupe.process(Arrival("b", NOW + DAY // 2), Arrival("a", NOW + DAY // 2))
    dedupe.process(Arrival("c", NOW + 12 * DAY), Arrival("a", NOW + 12 * DAY))

    assert (dedupe.duplicates, len(dedupe.events)) == ({2}, 4)
    assert dedupe.store.entries().keys() == {b"p/a", b"p/c"}


def test_entries_of_a_wrong_clock_expire() -> None:
    dedupe = Dedupe().process(Arrival("a", NOW), Arrival("b", NOW + 1, broker_ahead_ms=365 * DAY))
    dedupe.process(Arrival("c", NOW + 12 * DAY))

    assert dedupe.store.entries().keys() == {b"p/c"}


def test_window_works_again_after_both_clocks_were_ahead() -> None:
    dedupe = Dedupe().process(Arrival("a", NOW), Arrival("b", NOW + 1, 365 * DAY, 365 * DAY))
    dedupe.process(Arrival("c", NOW + HOUR), Arrival("b", NOW + HOUR), Arrival("c", NOW + 2 * HOUR))

    assert dedupe.duplicates == {3, 4}
    assert dedupe.store.clock_ms == NOW + HOUR


@pytest.mark.parametrize(
    ("broker_ms", "gateway_ms", "window_ms", "expected"),
    [
        (NOW + 3 * HOUR, NOW, NOW - HOUR, NOW),
        (NOW + 3 * HOUR, NOW, NOW + HOUR, NOW + HOUR),
        (NOW, NOW + 3 * HOUR, NOW + 5 * HOUR, NOW + 3 * HOUR),
        (NOW, NOW + 3 * HOUR, UNSET, NOW),
        (NOW, None, NOW - DAY, NOW - DAY),
        (NOW, None, UNSET, NOW),
    ],
)
def test_window_moves_as_far_as_both_clocks_say(
    broker_ms: int, gateway_ms: int | None, window_ms: int, expected: int
) -> None:
    assert disputed_time(Disagreement(broker_ms, gateway_ms, window_ms)) == expected


@pytest.mark.parametrize("broker_ms", [-1, 10**15])
def test_no_time_of_receipt_agrees_with_an_impossible_time(broker_ms: int) -> None:
    first, last = agreeing(broker_ms)
    assert not first <= format_time(NOW * 1000) <= last


@pytest.mark.parametrize(
    ("broker_ms", "gateway_ms", "now_ms", "expected"),
    [
        (NOW + 2 * HOUR, NOW, NOW, "the broker"),
        (NOW, NOW + 2 * HOUR, NOW, "a gateway"),
        (NOW, None, NOW, "a gateway"),
        # A worker that processes what is hours old knows it by the items before.
        (NOW + 2 * HOUR, NOW, NOW + 9 * HOUR, "the broker"),
        (NOW, NOW - 2 * HOUR, NOW + 9 * HOUR, "a gateway"),
        (NOW + 5 * DAY, NOW + 9 * DAY, NOW + 20 * DAY, "the broker, a gateway or this worker"),
    ],
)
def test_clock_out_of_line_is_named(broker_ms: int, gateway_ms: int | None, now_ms: int, expected: str) -> None:
    assert wrong_clock(Disagreement(broker_ms, gateway_ms, NOW), now_ms) == expected


def test_wrong_clock_is_logged_with_the_three_times_and_then_less_often(caplog: pytest.LogCaptureFixture) -> None:
    log = ClockLog()
    found = [Disagreement(NOW + 2 * HOUR, NOW, NOW)]
    for _ in range(5):
        log.add(found * 3, NOW + 2 * HOUR, NOW)
    log.add([Disagreement(NOW, NOW + 2 * HOUR, NOW)], NOW, NOW)

    first, second = caplog.messages
    assert first.startswith("the clock of the broker is wrong: for 3 items ")
    assert "broker 2026-11-18T13:06:40Z, gateway 2026-11-18T11:06:40Z, this worker 2026-11-18T11:06:40Z" in first
    assert second.startswith("the clock of a gateway is wrong: for 1 items ")


def test_clock_of_the_worker_is_named_if_broker_and_gateway_agree(caplog: pytest.LogCaptureFixture) -> None:
    log = ClockLog()
    log.add([], NOW, NOW + 9 * HOUR)  # it processes what has waited
    assert caplog.messages == []

    log.add([], NOW, NOW - 2 * HOUR)
    assert caplog.messages[0].startswith("the clock of this worker is 2:00:00 behind that of the broker.")
