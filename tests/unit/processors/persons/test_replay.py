"""Recovery of persons: no trait in the log is lost, whatever the order of its records."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from processors.engine.rocksdb import StoreConfig
from processors.persons.replay import STALE_KEYS, replay, stale_keys
from schemas.items import Identify
from schemas.persons import Person, encode_person, fold
from tests.fakes.store import MemoryPartitionStore
from tests.support.records import SlimRecord, identify

KEYS = [b"p/ann", b"p/bob"]
traits = st.sampled_from([b'{"name":"a"}', b'{"name":null}', b'{"name":"b","age":3}', b"{}"])
times = st.sampled_from([f"2026-01-0{day}T00:00:00.000000Z" for day in range(1, 5)])
histories = st.lists(
    st.builds(
        lambda number, time, content: identify(f"m{number}", timestamp=time, traits=content),
        st.integers(0, 5),
        times,
        traits,
    ),
    min_size=1,
    max_size=6,
)


def person(history: list[Identify]) -> bytes:
    folded: Person | None = reduce(fold, history, None)
    assert folded is not None
    return encode_person(folded)


def read(log: list[tuple[bytes, bytes | None]], size: int) -> MemoryPartitionStore:
    """Replay *log* in batches of *size* records."""
    state = MemoryPartitionStore(StoreConfig())
    records = [SlimRecord(offset, key, value) for offset, (key, value) in enumerate(log)]
    for first in range(0, len(records), size):
        batch = records[first : first + size]
        puts, processed_offset = replay(batch, state.processed_offset, state.get_many)
        state.apply(puts, changelog_offset=batch[-1].offset, processed_offset=processed_offset)
    return state


@given(st.lists(st.tuples(st.sampled_from(KEYS), histories), min_size=1, max_size=8), st.integers(1, 8))
def test_replay_merges_stale_records_and_keeps_their_keys(
    written: list[tuple[bytes, list[Identify]]], size: int
) -> None:
    log: list[tuple[bytes, bytes | None]] = [(key, person(history)) for key, history in written]

    state = read(log, size)

    stale = stale_keys(state.get_many)
    for key in {key for key, _ in written}:
        whole = person([each for other, history in written if other == key for each in history])
        newest = [value for other, value in log if other == key][-1]
        assert state.get_many([key]) == [whole]
        assert (key in stale) == (newest != whole)


def test_published_person_is_no_longer_stale() -> None:
    old, new = (
        [identify("m1", traits=b'{"a":1}')],
        [identify("m1", traits=b'{"a":1}'), identify("m2", traits=b'{"b":2}')],
    )
    log: list[tuple[bytes, bytes | None]] = [(b"p/ann", person(new)), (b"p/ann", person(old))]

    assert stale_keys(read(log, 1).get_many) == [b"p/ann"]
    assert read([*log, (b"p/ann", person(new))], 1).get_many([STALE_KEYS]) == [None]


def test_undecodable_record_removes_no_person() -> None:
    state = read(
        [(b"p/ann", person([identify("m1", traits=b'{"a":1}')])), (b"p/ann", b"{not json"), (b"p/bob", b"[]")], 1
    )

    assert state.get_many([b"p/ann", b"p/bob"]) == [person([identify("m1", traits=b'{"a":1}')]), None]
    assert stale_keys(state.get_many) == [b"p/ann"]
