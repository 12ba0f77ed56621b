"""The partition store on RocksDB: atomic, bucketed by time, rebuilt only if it is damaged or outdated."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from processors.engine.errors import LocalStateUnavailableError
from processors.engine.rocksdb import PartitionStore, StoreConfig, discard
from processors.engine.store_damage import OutdatedStoreError, is_damage, remedy

WINDOWED = StoreConfig(window_ms=300, buckets=3, tolerance_ms=50)


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
    store.apply([(b"new", b"3", 1_450)], changelog_offset=1, processed_offset=1)
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
    with pytest.raises(LocalStateUnavailableError, match=r"Cannot open .* SEQUENCE_WORKER_DIR of its own"):
        PartitionStore(tmp_path, StoreConfig())
    assert store.get_many([b"a"]) == [b"1"]


def test_store_of_another_window_is_rebuilt(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path, WINDOWED)
    store.apply([(b"a", b"1", 900)], changelog_offset=0, processed_offset=0)
    store.close()

    longer = PartitionStore(tmp_path, replace(WINDOWED, window_ms=600))

    assert (longer.get_many([b"a"]), longer.changelog_offset) == ([None], -1)


@pytest.mark.parametrize(
    "status",
    [
        "Corruption: CURRENT file does not end with newline",
        "Corruption: block checksum mismatch: stored = 1, computed = 2  in /s/000027.sst offset 159 size 918",
        "Corruption: Corruption: IO error: No such file or directory: While open a file for random read: /s/000027.sst",
        "Corruption: While creating a new Db, wal_dir contains existing log file: : 000022.log",
        "IO error: No such file or directory: While opening a file for sequentially reading: /s/MANIFEST-000005",
    ],
)
def test_wrong_content_and_missing_files_are_damage(status: str) -> None:
    assert is_damage(Exception(status))


@pytest.mark.parametrize(
    ("status", "todo"),
    [
        ("IO error: While open a file for random read: /s/000023.sst: Too many open files", "ulimit -n"),
        (
            "Invalid argument: Found options incompatible with filesystem: IO error: /s/CURRENT: Too many open files",
            "ulimit -n",
        ),
        ("Corruption: IO error: While open a file for random read: /s/000023.sst: Too many open files", "ulimit -n"),
        ("IO error: while open a file for lock: /s/LOCK: Permission denied", "writable for the user"),
        ("IO error: While opening a file: /s/MANIFEST-000005: Operation not permitted", "writable for the user"),
        ("Read-only file system (os error 30)", "writable file system"),
        ("IO error: No space left on device: While appending to file: /s/000031.log", "Free disk space"),
        ("IO error: While appending to file: /s/000031.log: Disk quota exceeded", "quota"),
        ("IO error: While appending to file: /s/000031.log: File too large", "ulimit -f"),
        ("IO error: While lock file: /s/LOCK: Resource temporarily unavailable", "Another process"),
        ("IO error: lock hold by current process, acquire time 1: /s/LOCK: No locks available", "Another process"),
        ("IO error: While pread offset 0 len 53: /s/000023.sst: Input/output error", "Check the disk"),
        ("IO error: While open a file for random read: /s/CURRENT: Stale file handle", "Check the disk"),
        ("an error of a later version", "Check the disk"),
    ],
)
def test_other_errors_are_no_damage_and_have_a_remedy(status: str, todo: str) -> None:
    assert not is_damage(Exception(status))
    assert todo in remedy(Exception(status))


def test_store_of_another_version_is_outdated_and_rebuilt() -> None:
    assert is_damage(OutdatedStoreError("written by another version, or for another window"))


def test_discarded_store_loses_its_name_before_its_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PartitionStore(tmp_path / "0", StoreConfig())
    store.apply([(b"a", b"1", 0)], changelog_offset=0, processed_offset=0)
    store.close()
    files = sorted(path.name for path in (tmp_path / "0").iterdir())

    def interrupted(path: Path, *, ignore_errors: bool) -> None:
        del path, ignore_errors

    monkeypatch.setattr("shutil.rmtree", interrupted)
    discard(tmp_path / "0")

    assert not (tmp_path / "0").exists()
    assert sorted(path.name for path in (tmp_path / "0.discarded").iterdir()) == files
    monkeypatch.undo()
    again = PartitionStore(tmp_path / "0", StoreConfig())
    again.close()
    discard(tmp_path / "0")
    assert list(tmp_path.iterdir()) == []


def test_damaged_store_that_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "0"
    PartitionStore(path, StoreConfig()).close()
    (path / "CURRENT").write_text("damage")
    holder = (
        "import fcntl, sys\n"
        "with open(sys.argv[1], 'ab') as lock:\n"
        "    fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path / "LOCK")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LocalStateUnavailableError, match="Another process"):
            PartitionStore(path, StoreConfig())
        assert (path / "CURRENT").read_text() == "damage"
        other.communicate()
