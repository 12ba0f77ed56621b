"""Partitions from which persons were erased are compacted once, however often that is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from processors.engine.errors import LocalStateUnavailableError
from processors.engine.rocksdb import PartitionStore, StoreConfig
from processors.persons.forgetting import Forgetting
from processors.persons.replay import FORGET

SECRET = b"p/a-secret-user"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[PartitionStore]:
    """A partition from which a person was erased."""
    store = PartitionStore(tmp_path, StoreConfig())
    store.apply([(SECRET, SECRET, 0)], changelog_offset=0, processed_offset=0)
    store.apply([(SECRET, None, 0), (FORGET, b"1", 0)], changelog_offset=1, processed_offset=1)
    yield store
    store.close()


def forgetting(*stores: PartitionStore) -> Forgetting:
    table: Any = SimpleNamespace(store=SimpleNamespace(open_partitions=lambda: list(stores)))
    return Forgetting(table)


def is_on_disk(folder: Path) -> bool:
    return any(SECRET in path.read_bytes() for path in folder.iterdir())


async def test_erased_person_leaves_the_files_and_the_entry_goes(state: PartitionStore, tmp_path: Path) -> None:
    assert is_on_disk(tmp_path)

    await forgetting(state).forget()

    assert not is_on_disk(tmp_path)
    assert state.get_many([FORGET]) == [None]
    assert (state.changelog_offset, state.processed_offset) == (1, 1)


async def test_partition_without_the_entry_is_left_alone(
    state: PartitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.apply([(FORGET, None, 0)], changelog_offset=1, processed_offset=1)
    monkeypatch.setattr(state, "forget_deleted", lambda: pytest.fail("it was compacted"))

    await forgetting(state).forget()


async def test_erasure_during_a_compaction_is_forgotten_by_the_next(
    state: PartitionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def erase_another() -> None:
        state.apply([(FORGET, b"2", 0)], changelog_offset=2, processed_offset=2)

    monkeypatch.setattr(state, "forget_deleted", erase_another)

    await forgetting(state).forget()

    assert state.get_many([FORGET]) == [b"2"]


async def test_compaction_that_failed_is_repeated(
    state: PartitionStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def fail() -> None:
        raise LocalStateUnavailableError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(state, "forget_deleted", fail)
        await forgetting(state).forget()
    assert "erased persons are not yet removed from the local state, retrying: no space" in caplog.text
    assert state.get_many([FORGET]) == [b"1"]

    await forgetting(state).forget()
    assert not is_on_disk(tmp_path)


async def test_compaction_that_ends_because_its_store_is_closed_is_not_logged(
    state: PartitionStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close() -> None:
        state.close()
        raise LocalStateUnavailableError("closed")

    monkeypatch.setattr(state, "forget_deleted", close)

    await forgetting(state).forget()

    assert caplog.text == ""
