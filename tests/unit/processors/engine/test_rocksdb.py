"""The partition store on RocksDB: atomic, bucketed by time, rebuilt if it is damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from processors.engine.errors import LocalStateError
from processors.engine.rocksdb import PartitionStore, StoreConfig

WINDOWED = StoreConfig(window_ms=300, buckets=3)


def test_entries_and_offsets_survive_closing(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, StoreConfig())
    store.apply([(b"a", b"1", 0), (b"b", b"2", 0)], changelog_offset=4, processed_offset=9)
    store.close()

    again = PartitionStore(tmp_path, StoreConfig())
    assert again.get_many([b"a", b"missing", b"b"]) == [b"1", None, b"2"]
    assert (again.changelog_offset, again.processed_offset) == (4, 9)


def test_none_deletes_a_key(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, StoreConfig())
    store.apply([(b"a", b"1", 0)], changelog_offset=0, processed_offset=0)
    store.apply([(b"a", None, 0)], changelog_offset=1, processed_offset=1)
    assert store.get_many([b"a"]) == [None]


def test_processed_offset_never_decreases(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, StoreConfig())
    store.apply([], changelog_offset=0, processed_offset=9)
    store.apply([], changelog_offset=1, processed_offset=3)
    assert store.processed_offset == 9


def test_buckets_out_of_the_window_are_dropped(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, WINDOWED)
    store.apply([(b"old", b"1", 1_000), (b"edge", b"2", 1_150)], changelog_offset=0, processed_offset=0)
    store.apply([(b"new", b"3", 1_400)], changelog_offset=1, processed_offset=1)
    assert store.get_many([b"old", b"edge", b"new"]) == [None, b"2", b"3"]


def test_newest_value_of_a_key_wins_across_buckets(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, WINDOWED)
    store.apply([(b"a", b"first", 1_000)], changelog_offset=0, processed_offset=0)
    store.apply([(b"a", b"second", 1_150)], changelog_offset=1, processed_offset=1)
    assert store.get_many([b"a"]) == [b"second"]
    assert store.entries() == {b"a": b"second"}


def test_damaged_store_is_replaced_by_an_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PartitionStore(tmp_path, StoreConfig())
    store.apply([(b"a", b"1", 0)], changelog_offset=4, processed_offset=9)
    store.close()
    (tmp_path / "CURRENT").write_text("damage")

    again = PartitionStore(tmp_path, StoreConfig())
    assert (again.get_many([b"a"]), again.changelog_offset) == ([None], -1)
    assert "rebuilding it from its changelog" in caplog.text


def test_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, StoreConfig())
    store.apply([(b"a", b"1", 0)], changelog_offset=0, processed_offset=0)
    with pytest.raises(LocalStateError, match="Cannot open"):
        PartitionStore(tmp_path, StoreConfig())
    assert store.get_many([b"a"]) == [b"1"]


def test_store_of_another_window_is_rebuilt(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, WINDOWED)
    store.apply([(b"a", b"1", 900)], changelog_offset=0, processed_offset=0)
    store.close()

    longer = PartitionStore(tmp_path, replace(WINDOWED, window_ms=600))

    assert (longer.get_many([b"a"]), longer.changelog_offset) == ([None], -1)
