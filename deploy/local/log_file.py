"""Log file of one service, rotated: at most two files of the size limit, the older one with the suffix `.1`."""

from __future__ import annotations

from pathlib import Path

LIMIT_BYTES = 8 * 1024 * 1024


class LogFile:
    """Appends a service's output to *path*. Opens the file at once; `close` must be called."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Append *data*, after rotating a file that it would not fit into."""
        if self._file.tell() + len(data) > self._limit and self._file.tell() > 0:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
