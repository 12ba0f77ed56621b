"""Contract of the partition store, for the fake and for RocksDB."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.engine.rocksdb import PartitionStore, StoreConfig
from processors.engine.stage import Put
from tests.fakes.store import MemoryPartitionStore

PLAIN = StoreConfig()
WINDOWED = StoreConfig(window_ms=300, buckets=3, tolerance_ms=50)


class Store(Protocol):
    """The part of `PartitionStore` that stages use."""

    changelog_offset: int
    processed_offset: int
    clock_ms: int

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def apply(self, puts: Iterable[Put], *, changelog_offset: int, processed_offset: int) -> None: ...

    def entries(self) -> dict[bytes, bytes]: ...

    def close(self) -> None: ...


Make = Callable[[StoreConfig], Store]


@pytest.fixture(params=["memory", "rocksdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return a function that opens an empty store; all are closed afterwards."""
    made: list[Store] = []

    def make(config: StoreConfig) -> Store:
        if request.param == "memory":
            made.append(MemoryPartitionStore(config))
        else:
            made.append(PartitionStore(tmp_path / str(len(made)), config))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.mark.parametrize("config", [PLAIN, WINDOWED], ids=["plain", "windowed"])
def test_new_store_is_empty(make: Make, config: StoreConfig) -> None:
    store = make(config)

    assert (store.changelog_offset, store.processed_offset, store.entries()) == (-1, -1, {})
    assert store.get_many([b"a", b"b"]) == [None, None]
    assert store.get_many([]) == []


@pytest.mark.parametrize("config", [PLAIN, WINDOWED], ids=["plain", "windowed"])
def test_values_are_returned_in_the_order_of_the_keys(make: Make, config: StoreConfig) -> None:
    store = make(config)
    store.apply([(b"a", b"1", 0), (b"b", b"2", 100), (b"c", b"", 0)], changelog_offset=4, processed_offset=9)

    assert store.get_many([b"c", b"x", b"b", b"a", b"b"]) == [b"", None, b"2", b"1", b"2"]
    assert store.entries() == {b"a": b"1", b"b": b"2", b"c": b""}
    assert (store.changelog_offset, store.processed_offset) == (4, 9)


def test_later_value_of_a_key_replaces_earlier(make: Make) -> None:
    store = make(PLAIN)
    store.apply([(b"a", b"1", 0), (b"a", b"2", 0)], changelog_offset=1, processed_offset=1)
    assert store.get_many([b"a"]) == [b"2"]

    store.apply([(b"a", b"3", 0)], changelog_offset=2, processed_offset=2)
    assert store.get_many([b"a"]) == [b"3"]


def test_none_deletes_a_key_until_it_is_written_again(make: Make) -> None:
    store = make(PLAIN)
    store.apply([(b"a", b"1", 0), (b"b", b"2", 0)], changelog_offset=1, processed_offset=1)
    store.apply([(b"a", None, 0), (b"never", None, 0)], changelog_offset=2, processed_offset=2)
    assert (store.get_many([b"a", b"b", b"never"]), store.entries()) == ([None, b"2", None], {b"b": b"2"})

    store.apply([(b"a", b"3", 0)], changelog_offset=3, processed_offset=3)
    assert store.get_many([b"a"]) == [b"3"]


def test_offsets_advance_without_entries(make: Make) -> None:
    store = make(PLAIN)
    store.apply([], changelog_offset=7, processed_offset=12)
    assert (store.changelog_offset, store.processed_offset, store.entries()) == (7, 12, {})


def test_processed_offset_never_decreases(make: Make) -> None:
    store = make(PLAIN)
    store.apply([], changelog_offset=0, processed_offset=9)
    store.apply([], changelog_offset=1, processed_offset=3)
    assert (store.changelog_offset, store.processed_offset) == (1, 9)


def test_bucket_is_dropped_once_all_of_it_is_out_of_the_window(make: Make) -> None:
    store = make(WINDOWED)
    store.apply([(b"old", b"1", 1_000), (b"edge", b"2", 1_150)], changelog_offset=0, processed_offset=0)
    assert store.get_many([b"old", b"edge"]) == [b"1", b"2"]

    store.apply([(b"new", b"3", 1_449)], changelog_offset=1, processed_offset=1)
    assert store.get_many([b"old", b"edge", b"new"]) == [b"1", b"2", b"3"]

    store.apply([(b"newer", b"4", 1_450)], changelog_offset=2, processed_offset=2)
    assert store.get_many([b"old", b"edge", b"new"]) == [None, b"2", b"3"]
    assert store.entries() == {b"edge": b"2", b"new": b"3", b"newer": b"4"}


def test_clock_follows_later_times_and_goes_back_beyond_the_tolerance_only(make: Make) -> None:
    store = make(WINDOWED)
    clocks = []
    for number, time_ms in enumerate([5_000, 4_950, 4_949, 5_100, 1_000]):
        store.apply([(b"a", b"1", time_ms)], changelog_offset=number, processed_offset=number)
        clocks.append(store.clock_ms)

    assert clocks == [5_000, 5_000, 4_949, 5_100, 1_000]


@pytest.mark.parametrize("late_ms", [4_900, 1_000, 0])
def test_late_entry_is_found_and_drops_no_newer_bucket(make: Make, late_ms: int) -> None:
    store = make(WINDOWED)
    store.apply([(b"new", b"1", 5_000)], changelog_offset=0, processed_offset=0)
    store.apply([(b"late", b"2", late_ms)], changelog_offset=1, processed_offset=1)
    assert store.get_many([b"new", b"late"]) == [b"1", b"2"]

    store.apply([(b"then", b"3", late_ms + 100)], changelog_offset=2, processed_offset=2)
    assert store.get_many([b"new", b"late", b"then"]) == [b"1", b"2", b"3"]


def test_entry_far_ahead_leaves_later_entries_findable(make: Make) -> None:
    store = make(WINDOWED)
    puts = [(b"before", b"1", 1_000), (b"ahead", b"2", 9_000_000), (b"after", b"3", 1_050)]
    store.apply(puts, changelog_offset=2, processed_offset=2)
    assert store.get_many([b"before", b"ahead", b"after"]) == [None, b"2", b"3"]

    store.apply([(b"later", b"4", 1_500)], changelog_offset=3, processed_offset=3)
    assert store.get_many([b"ahead", b"after", b"later"]) == [b"2", None, b"4"]


def test_newer_bucket_wins(make: Make) -> None:
    store = make(WINDOWED)
    store.apply([(b"a", b"second", 1_150), (b"a", b"first", 1_000)], changelog_offset=0, processed_offset=0)
    assert (store.get_many([b"a"]), store.entries()) == ([b"second"], {b"a": b"second"})


_put = st.tuples(
    st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([None, b"", b"1", b"2"]), st.integers(0, 2_000)
)
_puts = st.lists(_put, max_size=6)


@settings(max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(batches=st.lists(_puts, max_size=6), config=st.sampled_from([PLAIN, WINDOWED]))
def test_fake_and_rocksdb_agree_on_any_sequence(batches: list[list[Put]], config: StoreConfig) -> None:
    with tempfile.TemporaryDirectory() as directory:
        fake, real = MemoryPartitionStore(config), PartitionStore(Path(directory) / "state", config)
        for number, puts in enumerate(batches):
            for store in (fake, real):
                store.apply(puts, changelog_offset=number, processed_offset=-number)
            assert real.entries() == fake.entries()
            assert real.get_many([b"a", b"b", b"c", b"d"]) == fake.get_many([b"a", b"b", b"c", b"d"])
            assert (real.changelog_offset, real.processed_offset) == (fake.changelog_offset, fake.processed_offset)
            assert real.clock_ms == fake.clock_ms
        real.close()
        reopened = PartitionStore(Path(directory) / "state", config)
        assert (reopened.entries(), reopened.clock_ms) == (fake.entries(), fake.clock_ms)
        reopened.close()


@settings(max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(puts=st.lists(_put, max_size=20), size=st.integers(1, 20))
def test_store_does_not_depend_on_the_division_into_batches(puts: list[Put], size: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        whole, divided = (PartitionStore(Path(directory) / name, WINDOWED) for name in ("whole", "divided"))
        whole.apply(puts, changelog_offset=0, processed_offset=0)
        for start in range(0, len(puts), size):
            divided.apply(puts[start : start + size], changelog_offset=0, processed_offset=0)
        assert (divided.entries(), divided.clock_ms) == (whole.entries(), whole.clock_ms)
        for store in (whole, divided):
            store.close()
