"""Errors of RocksDB: which of them show files that must be rebuilt, and what to do about the others. Pure.

rocksdict raises a bare `Exception` with RocksDB's status as its text.
"""

from __future__ import annotations

_MISSING_FILE = "No such file or directory"

_REMEDIES = {
    "Too many open files": "Raise the limit of open files of the process (`ulimit -n`).",
    "Permission denied": "Make SEQUENCE_WORKER_DIR and all files in it writable for the user of the worker.",
    "Operation not permitted": "Make SEQUENCE_WORKER_DIR and all files in it writable for the user of the worker.",
    "Read-only file system": "Set SEQUENCE_WORKER_DIR to a directory on a writable file system.",
    "No space left on device": "Free disk space.",
    "Disk quota exceeded": "Free disk space or raise the quota.",
    "File too large": "Raise the limit of the file size (`ulimit -f`).",
    "Resource temporarily unavailable": "Another process uses it: give each worker a SEQUENCE_WORKER_DIR of its own.",
    "lock hold by": "Another process uses it: give each worker a SEQUENCE_WORKER_DIR of its own.",
}
"""What to do about an error of the operating system that RocksDB reports as text."""


class OutdatedStoreError(Exception):
    """The files are complete, but another version wrote them, or for another window."""


def is_damage(error: Exception) -> bool:
    """Return whether *error*, raised while a store is opened, shows files that no later attempt can open."""
    text = str(error)
    if text.startswith("Corruption: "):
        return "IO error" not in text or _MISSING_FILE in text
    return isinstance(error, OutdatedStoreError) or text.startswith(f"IO error: {_MISSING_FILE}: ")


def remedy(error: Exception) -> str:
    """Return what to do about *error*, which is no damage."""
    text = str(error)
    return next((remedy for sign, remedy in _REMEDIES.items() if sign in text), "Check the disk.")
