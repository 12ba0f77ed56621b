"""Checks of the local stack before it touches anything: paths that Java cannot open, limits, rights, incomplete state.

Each refusal is one sentence that names the cause, and one that says what to do.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.embedded import kafka
from deploy.errors import OpenFilesError, StateError
from deploy.settings import broker_directories, stored_brokers
from gateway.disk import resume_bytes
from schemas.sizes import size

_FILES = 192
_FILES_OF_A_PARTITION = 12
"""A broker has 116 files and 5 for each partition, a worker 26 and 6, before they hold much data."""
_CHECKED_ENTRIES = 50_000
"""Enough for the directories of weeks of use, and done in a tenth of a second."""


def check_paths(state: Path, cache: Path) -> None:
    """Raise `StateError` if Java or RocksDB cannot open the state directory or the cache directory."""
    for path, variable in ((state, "SEQUENCE_STATE_DIR"), (cache, "SEQUENCE_CACHE_DIR")):
        if fault := path_fault(path.resolve(), has_utf8_locale=_has_utf8_locale()):
            shown = os.fsencode(path).decode(errors="backslashreplace")
            raise StateError(f"Kafka cannot use the directory {shown}: {fault}. Set {variable} to another directory.")
    if str(state.resolve()) != os.fsencode(state.resolve()).decode():
        raise StateError(
            f"The workers cannot use the directory {os.fsencode(state).decode()}: Python decodes paths as "
            f"{sys.getfilesystemencoding()} in this locale. Set a UTF-8 locale or PYTHONUTF8=1, or set "
            "SEQUENCE_STATE_DIR to another directory."
        )
    if "!/" in f"{cache.resolve()}/":
        raise StateError(
            f"Kafka cannot use the directory {cache}: Java reads `!/` as the end of a jar file's name. "
            "Set SEQUENCE_CACHE_DIR to another directory."
        )


def path_fault(path: Path, *, has_utf8_locale: bool) -> str:
    """Return why Java cannot open *path*, empty if it can."""
    name = os.fsencode(path)
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return "its name is not valid UTF-8"
    if not text.isascii() and not has_utf8_locale:
        return "its name is not ASCII, and this machine has no UTF-8 locale such as C.UTF-8"
    return ""


def check_open_files(allowed: int, partitions: int) -> None:
    """Raise `OpenFilesError` if a process may open fewer files than the broker or a worker needs."""
    needed = _FILES + _FILES_OF_A_PARTITION * partitions
    if allowed < needed:
        raise OpenFilesError(
            f"A process may open {allowed} files, but {needed} are needed for SEQUENCE_PARTITIONS={partitions}. "
            "Raise the hard limit (`ulimit -Hn`), or start with fewer partitions on an empty SEQUENCE_STATE_DIR."
        )


def check_brokers(state: Path, wanted: int) -> None:
    """Raise `StateError` if the stack cannot have *wanted* brokers; 0 wants those that *state* has."""
    stored = stored_brokers(state)
    if wanted == 2:  # the one number of the allowed range that is of no use
        raise StateError("Two brokers cannot agree when one is lost. Use `--brokers 1` or `--brokers 3`.")
    if stored and wanted not in {0, stored}:
        raise StateError(
            f"{state} has the data of {_count(stored)}, and the number cannot be changed. Start without "
            f"`--brokers` and SEQUENCE_LOCAL_BROKERS, or set SEQUENCE_STATE_DIR to another directory for {wanted}."
        )


def check_state(state: Path) -> None:
    """Raise `StateError` if this user cannot write all of the state, or if a part of it is missing or foreign."""
    if path := next(_unwritable(state), None):
        raise StateError(
            f"{path} cannot be read and written by this user (uid {os.getuid()}); it belongs to uid "
            f"{path.stat(follow_symlinks=False).st_uid}. Run `sequence up` as the user that made {state}, change the "
            f"owner with `chown -R`, or set SEQUENCE_STATE_DIR to another directory."
        )
    of_brokers = broker_directories(state)
    if foreign := [path for broker in of_brokers for path in kafka.foreign_directories(broker)]:
        raise StateError(
            f"Kafka does not start with directories that are not its own: {_listed(foreign)}. Move them elsewhere."
        )
    referring = _with_content(state / "workers", state / "clickhouse")
    if referring and not any(map(kafka.is_formatted, of_brokers)):
        raise StateError(
            f"Kafka's data in {_listed(of_brokers or [state / 'kafka'])} is missing, but {_listed(referring)} refer to "
            f"it: new events would count as processed. Restore Kafka's data, or delete {state} to start without events."
        )


def _has_utf8_locale() -> bool:
    # Java on macOS decodes paths as UTF-8 in every locale.
    return sys.platform == "darwin" or bool(kafka.utf8_locale())


def _unwritable(state: Path) -> Iterator[Path]:
    """Yield what this user cannot read and write, of the first entries of *state*, top down."""
    remaining = [state]
    checked = 0
    while remaining and checked < _CHECKED_ENTRIES:
        directory = remaining.pop(0)
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            yield directory
            continue
        with os.scandir(directory) as entries:
            for entry in entries:
                checked += 1
                if entry.is_dir(follow_symlinks=False):
                    # Jar files are only read.
                    if Path(entry.path) != state / "cache":
                        remaining.append(Path(entry.path))
                elif not entry.is_symlink() and not os.access(entry.path, os.R_OK | os.W_OK):
                    yield Path(entry.path)


def _with_content(*directories: Path) -> list[Path]:
    """Return those of *directories* that hold a file or a directory."""
    return [path for path in directories if path.is_dir() and any(path.iterdir())]


def _count(brokers: int) -> str:
    return "1 broker" if brokers == 1 else f"{brokers} brokers"


def _listed(paths: Iterable[Path]) -> str:
    return " and ".join(str(path) for path in paths)


def little_space(state: Path, min_free_bytes: int) -> str | None:
    """Return the line about a disk with so little space that gateways refuse requests, None if it has more."""
    free_bytes = shutil.disk_usage(state).free
    if free_bytes >= min_free_bytes:
        return None
    return (
        f"The disk of {state} has {size(free_bytes)} free. Gateways accept no items until it has "
        f"{size(resume_bytes(min_free_bytes))} (SEQUENCE_KAFKA_MIN_FREE_BYTES={min_free_bytes}). Events can be queried."
    )
