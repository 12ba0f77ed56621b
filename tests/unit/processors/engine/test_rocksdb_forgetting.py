"""Entries that were deleted leave every file of a store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from processors.engine.errors import LocalStateUnavailableError
from processors.engine.rocksdb import PartitionStore, StoreConfig

SECRET = b"p/a-secret-user"
"""The first key of its file, so that the manifest names it as well."""
OTHERS = [(b"p/user-%04d" % number, b"x" * 100, 0) for number in range(2000)]
SMALL = StoreConfig(write_buffer_bytes=64 * 1024)


def files_with(text: bytes, folder: Path) -> list[str]:
    """Return the files in *folder* that contain *text*, also as hexadecimal digits."""
    forms = (text, text.hex().encode(), text.hex().upper().encode())
    return sorted(path.name for path in folder.iterdir() if any(form in path.read_bytes() for form in forms))


def test_deleted_entry_leaves_every_file_once_it_is_forgotten(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, SMALL)
    store.apply([(SECRET, SECRET, 0), *OTHERS], changelog_offset=0, processed_offset=0)
    store.apply([(SECRET, None, 0)], changelog_offset=1, processed_offset=1)
    assert files_with(SECRET, tmp_path)

    store.forget_deleted()

    assert files_with(SECRET, tmp_path) == []
    assert store.get_many([SECRET, OTHERS[0][0]]) == [None, OTHERS[0][1]]
    store.close()
    again = PartitionStore(tmp_path, SMALL)
    assert (again.changelog_offset, len(again.entries())) == (1, len(OTHERS))
    again.close()
    assert files_with(SECRET, tmp_path) == []


def test_replaced_value_leaves_every_file_once_it_is_forgotten(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, SMALL)
    store.apply([(b"p/u", SECRET, 0), *OTHERS], changelog_offset=0, processed_offset=0)
    store.apply([(b"p/u", b"new", 0)], changelog_offset=1, processed_offset=1)

    store.forget_deleted()

    assert files_with(SECRET, tmp_path) == []
    assert store.get_many([b"p/u"]) == [b"new"]
    store.close()


def test_store_that_is_closed_while_it_forgets_can_be_opened_again(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, SMALL)
    for number in range(10):
        store.apply(
            [(b"%d%s" % (number, key), value, 0) for key, value, _ in OTHERS],
            changelog_offset=number,
            processed_offset=0,
        )
    ended: list[object] = []

    def forget() -> None:
        began.set()
        try:
            while True:
                store.forget_deleted()
        except (LocalStateUnavailableError, AttributeError) as error:
            ended.append(error)

    began = threading.Event()
    thread = threading.Thread(target=forget)
    thread.start()
    began.wait()
    store.close()
    again = PartitionStore(tmp_path, SMALL)
    thread.join()

    assert len(again.entries()) == 10 * len(OTHERS)
    assert [type(error) for error in ended] == [LocalStateUnavailableError]
    again.close()


def test_closed_store_cannot_forget(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, SMALL)
    store.close()
    assert not store.is_open
    with pytest.raises(LocalStateUnavailableError, match="Cannot rewrite local state"):
        store.forget_deleted()
