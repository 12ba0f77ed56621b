"""Local state: atomic, bucketed by time, and rebuilt when it is damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from processors.engine.errors import LocalStateError
from processors.engine.rocksdb import PartitionStore, StoreConfig

WINDOWED = StoreConfig(window_ms=300, buckets=3)


def test_entries_and_positions_survive_closing(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, StoreConfig())
    state.apply([(b"a", b"1", 0), (b"b", b"2", 0)], position=4, processed_offset=9)
    state.close()

    again = PartitionStore(tmp_path, StoreConfig())
    assert again.get_many([b"a", b"missing", b"b"]) == [b"1", None, b"2"]
    assert (again.position, again.processed_offset) == (4, 9)


def test_a_value_of_none_deletes(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, StoreConfig())
    state.apply([(b"a", b"1", 0)], position=0, processed_offset=0)
    state.apply([(b"a", None, 0)], position=1, processed_offset=1)
    assert state.get_many([b"a"]) == [None]


def test_what_is_decided_never_goes_back(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, StoreConfig())
    state.apply([], position=0, processed_offset=9)
    state.apply([], position=1, processed_offset=3)
    assert state.processed_offset == 9


def test_buckets_out_of_the_window_are_dropped_and_others_stay(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, WINDOWED)
    state.apply([(b"old", b"1", 1_000), (b"edge", b"2", 1_150)], position=0, processed_offset=0)
    state.apply([(b"new", b"3", 1_400)], position=1, processed_offset=1)
    assert state.get_many([b"old", b"edge", b"new"]) == [None, b"2", b"3"]


def test_the_newest_value_of_a_key_counts_across_buckets(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, WINDOWED)
    state.apply([(b"a", b"first", 1_000)], position=0, processed_offset=0)
    state.apply([(b"a", b"second", 1_150)], position=1, processed_offset=1)
    assert state.get_many([b"a"]) == [b"second"]
    assert state.entries() == {b"a": b"second"}


def test_damage_is_answered_by_an_empty_state(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = PartitionStore(tmp_path, StoreConfig())
    state.apply([(b"a", b"1", 0)], position=4, processed_offset=9)
    state.close()
    (tmp_path / "CURRENT").write_text("damage")

    again = PartitionStore(tmp_path, StoreConfig())
    assert (again.get_many([b"a"]), again.position) == ([None], -1)
    assert "rebuilding it from its log" in caplog.text


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, StoreConfig())
    state.apply([(b"a", b"1", 0)], position=0, processed_offset=0)
    with pytest.raises(LocalStateError, match="cannot open"):
        PartitionStore(tmp_path, StoreConfig())
    assert state.get_many([b"a"]) == [b"1"]


def test_a_store_of_another_window_is_built_anew(tmp_path: Path) -> None:
    state = PartitionStore(tmp_path, WINDOWED)
    state.apply([(b"a", b"1", 900)], position=0, processed_offset=0)
    state.close()

    longer = PartitionStore(tmp_path, replace(WINDOWED, window_ms=600))

    assert (longer.get_many([b"a"]), longer.position) == ([None], -1)
