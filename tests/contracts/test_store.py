"""What every local state promises, the fake and the one on RocksDB."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.engine.rocksdb import PartitionStore, Put, StoreConfig
from tests.fakes.store import MemoryPartitionStore

PLAIN = StoreConfig()
WINDOWED = StoreConfig(window_ms=300, buckets=3)


class State(Protocol):
    """The part of `PartitionStore` that stages use."""

    position: int
    processed_offset: int

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def apply(self, puts: Iterable[Put], *, position: int, processed_offset: int) -> None: ...

    def entries(self) -> dict[bytes, bytes]: ...

    def close(self) -> None: ...


Make = Callable[[StoreConfig], State]


@pytest.fixture(params=["memory", "rocksdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """What makes an empty state; all are closed afterwards."""
    made: list[State] = []

    def make(layout: StoreConfig) -> State:
        if request.param == "memory":
            made.append(MemoryPartitionStore(layout))
        else:
            made.append(PartitionStore(tmp_path / str(len(made)), layout))
        return made[-1]

    yield make
    for state in made:
        state.close()


@pytest.mark.parametrize("layout", [PLAIN, WINDOWED], ids=["plain", "windowed"])
def test_a_new_state_is_empty_and_knows_no_positions(make: Make, layout: StoreConfig) -> None:
    state = make(layout)

    assert (state.position, state.processed_offset, state.entries()) == (-1, -1, {})
    assert state.get_many([b"a", b"b"]) == [None, None]
    assert state.get_many([]) == []


@pytest.mark.parametrize("layout", [PLAIN, WINDOWED], ids=["plain", "windowed"])
def test_what_is_applied_is_read_in_the_order_asked_for(make: Make, layout: StoreConfig) -> None:
    state = make(layout)
    state.apply([(b"a", b"1", 0), (b"b", b"2", 100), (b"c", b"", 0)], position=4, processed_offset=9)

    assert state.get_many([b"c", b"x", b"b", b"a", b"b"]) == [b"", None, b"2", b"1", b"2"]
    assert state.entries() == {b"a": b"1", b"b": b"2", b"c": b""}
    assert (state.position, state.processed_offset) == (4, 9)


def test_the_last_value_of_a_key_counts(make: Make) -> None:
    state = make(PLAIN)
    state.apply([(b"a", b"1", 0), (b"a", b"2", 0)], position=1, processed_offset=1)
    assert state.get_many([b"a"]) == [b"2"]

    state.apply([(b"a", b"3", 0)], position=2, processed_offset=2)
    assert state.get_many([b"a"]) == [b"3"]


def test_none_takes_a_key_away_and_it_may_come_back(make: Make) -> None:
    state = make(PLAIN)
    state.apply([(b"a", b"1", 0), (b"b", b"2", 0)], position=1, processed_offset=1)
    state.apply([(b"a", None, 0), (b"never", None, 0)], position=2, processed_offset=2)
    assert (state.get_many([b"a", b"b", b"never"]), state.entries()) == ([None, b"2", None], {b"b": b"2"})

    state.apply([(b"a", b"3", 0)], position=3, processed_offset=3)
    assert state.get_many([b"a"]) == [b"3"]


def test_positions_move_without_entries(make: Make) -> None:
    state = make(PLAIN)
    state.apply([], position=7, processed_offset=12)
    assert (state.position, state.processed_offset, state.entries()) == (7, 12, {})


def test_what_is_decided_never_goes_back(make: Make) -> None:
    state = make(PLAIN)
    state.apply([], position=0, processed_offset=9)
    state.apply([], position=1, processed_offset=3)
    assert (state.position, state.processed_offset) == (1, 9)


def test_entries_within_the_window_stay_and_whole_buckets_out_of_it_go(make: Make) -> None:
    state = make(WINDOWED)
    state.apply([(b"old", b"1", 1_000), (b"edge", b"2", 1_150)], position=0, processed_offset=0)
    assert state.get_many([b"old", b"edge"]) == [b"1", b"2"]

    state.apply([(b"new", b"3", 1_400)], position=1, processed_offset=1)
    assert state.get_many([b"old", b"edge", b"new"]) == [None, b"2", b"3"]
    assert state.entries() == {b"edge": b"2", b"new": b"3"}


def test_time_that_goes_back_drops_nothing_that_is_newer(make: Make) -> None:
    state = make(WINDOWED)
    state.apply([(b"new", b"1", 5_000)], position=0, processed_offset=0)
    state.apply([(b"late", b"2", 4_900), (b"far-too-late", b"3", 1_000)], position=1, processed_offset=1)
    assert state.get_many([b"new", b"late", b"far-too-late"]) == [b"1", b"2", None]


def test_of_two_buckets_the_newer_value_counts(make: Make) -> None:
    state = make(WINDOWED)
    state.apply([(b"a", b"second", 1_150), (b"a", b"first", 1_000)], position=0, processed_offset=0)
    assert (state.get_many([b"a"]), state.entries()) == ([b"second"], {b"a": b"second"})


_puts = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([None, b"", b"1", b"2"]), st.integers(0, 2_000)
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(runs=st.lists(_puts, max_size=6), layout=st.sampled_from([PLAIN, WINDOWED]))
def test_both_come_to_the_same_whatever_is_applied(runs: list[list[Put]], layout: StoreConfig) -> None:
    with tempfile.TemporaryDirectory() as directory:
        fake, real = MemoryPartitionStore(layout), PartitionStore(Path(directory) / "state", layout)
        for number, puts in enumerate(runs):
            for state in (fake, real):
                state.apply(puts, position=number, processed_offset=-number)
            assert real.entries() == fake.entries()
            assert real.get_many([b"a", b"b", b"c", b"d"]) == fake.get_many([b"a", b"b", b"c", b"d"])
            assert (real.position, real.processed_offset) == (fake.position, fake.processed_offset)
        real.close()
