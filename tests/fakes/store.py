"""Local state that is kept in memory, for tests of what reads and writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from processors.engine.rocksdb import Put, StoreConfig


class MemoryPartitionStore:
    """Entries of one partition in buckets of time, and the positions up to which they are complete."""

    def __init__(self, layout: StoreConfig) -> None:
        self._layout = layout
        self._buckets: dict[int, dict[bytes, bytes]] = {}
        self.position = -1
        self.processed_offset = -1

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the newest value of each key, None where there is none."""
        entries = self.entries()
        return [entries.get(key) for key in keys]

    def apply(self, puts: Iterable[Put], *, position: int, processed_offset: int) -> None:
        """Keep *puts* and the positions, then drop the buckets that fell out of the window."""
        bucket_ms = self._layout.bucket_ms
        for key, value, time_ms in list(puts):
            bucket = self._buckets.setdefault(0 if bucket_ms is None else time_ms // bucket_ms, {})
            if value is None:
                bucket.pop(key, None)
            else:
                bucket[key] = value
        self.position, self.processed_offset = position, max(processed_offset, self.processed_offset)
        if bucket_ms is not None and self._buckets:
            oldest_ms = max(self._buckets) * bucket_ms - (self._layout.window_ms or 0)
            self._buckets = {
                number: bucket for number, bucket in self._buckets.items() if (number + 1) * bucket_ms > oldest_ms
            }

    def entries(self) -> dict[bytes, bytes]:
        """Return every entry, newest value first."""
        merged: dict[bytes, bytes] = {}
        for _, bucket in sorted(self._buckets.items()):
            merged |= bucket
        return merged

    def close(self) -> None:
        """Do nothing: memory needs no letting go."""
