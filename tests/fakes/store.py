"""A partition store in memory, for tests of what reads and writes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from processors.engine import window_clock
from processors.engine.rocksdb import StoreConfig
from processors.engine.stage import Put


class MemoryPartitionStore:
    """Entries of one partition in time buckets, and the offsets up to which they are complete."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self._buckets: dict[int, dict[bytes, bytes]] = {}
        self.changelog_offset = -1
        self.processed_offset = -1
        self.clock_ms = window_clock.UNSET

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the newest value of each key, None for a missing key."""
        entries = self.entries()
        return [entries.get(key) for key in keys]

    def apply(self, puts: Iterable[Put], *, changelog_offset: int, processed_offset: int) -> None:
        """Keep *puts* and the offsets, and drop buckets that are out of the window after each of *puts*."""
        bucket_ms, window_ms, tolerance_ms = self._config.bucket_ms, self._config.window_ms, self._config.tolerance_ms
        for key, value, time_ms in puts:
            if bucket_ms is not None and window_ms is not None:
                self.clock_ms = window_clock.advance(self.clock_ms, time_ms, tolerance_ms)
                oldest_ms = window_clock.expired_before(self.clock_ms, window_ms, tolerance_ms)
                for number in [number for number in self._buckets if (number + 1) * bucket_ms <= oldest_ms]:
                    del self._buckets[number]
            bucket = self._buckets.setdefault(0 if bucket_ms is None else time_ms // bucket_ms, {})
            if value is None:
                bucket.pop(key, None)
            else:
                bucket[key] = value
        self.changelog_offset, self.processed_offset = changelog_offset, max(processed_offset, self.processed_offset)

    def entries(self) -> dict[bytes, bytes]:
        """Return every entry with its newest value."""
        merged: dict[bytes, bytes] = {}
        for _, bucket in sorted(self._buckets.items()):
            merged |= bucket
        return merged

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
