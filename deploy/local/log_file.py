"""The log file of one part, bounded: at most two files of the limit, the older one with `.1` after its name."""

from __future__ import annotations

from pathlib import Path

LIMIT_BYTES = 8 * 1024 * 1024


class LogFile:
    """Takes what a part prints. Opens its file at once and appends to what is there."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path = path
        self._limit = limit_bytes
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Append *data*; a full file is set aside first."""
        if self._file.tell() + len(data) > self._limit and self._file.tell() > 0:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(data)

    def last_lines(self, count: int) -> list[str]:
        """Return the last *count* lines that are in the file."""
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            file.seek(max(0, size - count * 500))
            return file.read().decode(errors="replace").splitlines()[-count:]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
