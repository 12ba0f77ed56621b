"""A store that the operating system does not let a process open or write keeps its data, and opens again later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from processors.engine.rocksdb import PartitionStore, StoreConfig

CONFIG = StoreConfig(window_ms=300, buckets=3)
BATCHES = 40
UNPRIVILEGED = 65534

PROGRAM = """
import os, resource, sys
from pathlib import Path
from processors.engine import rocksdb
from processors.engine.errors import LocalStateUnavailableError
rocksdb.PartitionStore(Path(sys.argv[1] + ".other"), rocksdb.StoreConfig()).close()  # loads every library
os.chdir(Path(sys.argv[1]).parent)
exec(sys.argv[2])
try:
    store = rocksdb.PartitionStore(Path("0"), rocksdb.StoreConfig(window_ms=300, buckets=3))
    for number in range(40, 100):
        store.apply([(os.urandom(8), os.urandom(4000), 1390)], changelog_offset=number, processed_offset=number)
except LocalStateUnavailableError as error:
    print(error)
else:
    print("opened")
sys.stdout.flush()
os._exit(0)
"""

DROP_RIGHTS = f"os.getuid() or (os.setgroups([]), os.setgid({UNPRIVILEGED}), os.setuid({UNPRIVILEGED}))"
TAKE_ALL_FOR_DAMAGE = "rocksdb.is_damage = lambda error: True"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The directory of a closed store, which belongs to the user without privileges if this one has them."""
    path = tmp_path / "0"
    store = PartitionStore(path, CONFIG)
    for number in range(BATCHES):
        store.apply([(b"%d" % number, b"x" * 100, 1000 + 10 * number)], changelog_offset=number, processed_offset=9)
    store.close()
    if os.getuid() == 0:
        for file in [tmp_path, path, *path.iterdir()]:
            os.chown(file, UNPRIVILEGED, UNPRIVILEGED)
    return path


def another_process(path: Path, *before: str) -> str:
    """Open the store and write to it in another process, which runs *before* first; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), "\n".join(before)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def limit(name: str, value: int) -> str:
    return f"resource.setrlimit(resource.{name}, ({value}, {value}))"


def stored_offset(path: Path) -> int:
    """Return the changelog offset after opening the store without any limit."""
    store = PartitionStore(path, CONFIG)
    store.close()
    return store.changelog_offset


def test_store_opens_in_another_process(path: Path) -> None:
    assert another_process(path, DROP_RIGHTS) == "opened"
    assert stored_offset(path) == 99


@pytest.mark.parametrize("files", [5, 6, 8])
def test_too_few_file_handles_leave_the_data(path: Path, files: int) -> None:
    said = another_process(path, limit("RLIMIT_NOFILE", files))

    assert "Cannot open local state at 0:" in said
    assert "Too many open files" in said
    assert "ulimit -n" in said
    assert stored_offset(path) == BATCHES - 1


def test_control_store_that_takes_all_for_damage_loses_the_data(path: Path) -> None:
    another_process(path, TAKE_ALL_FOR_DAMAGE, limit("RLIMIT_NOFILE", 8))

    assert not path.exists() or stored_offset(path) == -1


@pytest.mark.parametrize("pattern", ["CURRENT", "LOCK", "MANIFEST-*", "*.sst", "*.log"])
def test_unreadable_file_leaves_the_data(path: Path, pattern: str) -> None:
    files = list(path.glob(pattern))
    assert files
    for file in files:
        file.chmod(0)

    said = another_process(path, DROP_RIGHTS)

    assert "Cannot open local state at 0:" in said
    assert "Permission denied" in said
    assert "writable for the user" in said
    for file in files:
        file.chmod(0o644)
    assert stored_offset(path) == BATCHES - 1


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_directory_without_rights_leaves_the_data(path: Path, mode: int) -> None:
    path.chmod(mode)

    said = another_process(path, DROP_RIGHTS)

    path.chmod(0o755)
    assert "Cannot open local state at 0:" in said
    assert stored_offset(path) == BATCHES - 1


def test_damaged_store_in_a_directory_without_rights_is_left_as_it_is(path: Path) -> None:
    (path / "CURRENT").write_text("damage")
    path.parent.chmod(0o500)

    said = another_process(path, DROP_RIGHTS)

    path.parent.chmod(0o755)
    assert "Cannot open local state at 0:" in said
    assert (path / "CURRENT").read_text() == "damage"


def test_failed_write_leaves_the_data(path: Path) -> None:
    said = another_process(path, limit("RLIMIT_FSIZE", 64 * 1024))

    assert "Cannot write local state at 0:" in said
    assert "ulimit -f" in said
    assert stored_offset(path) >= BATCHES - 1
