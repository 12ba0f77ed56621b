"""Local state of one partition of a table: a RocksDB database that caches the table's changelog.

All changes of a batch are one atomic write, together with the offset that its outputs got, so the store always equals
the changelog up to `changelog_offset`. Writes survive a killed process (write-ahead log, no fsync); after a power loss
the store is rebuilt from the changelog.

Entries may be kept in time buckets, one column family each. A bucket is dropped whole once all of it is out of the
window: expiry follows the records' own time, costs nothing per entry, and gives the same result after a rebuild.
"""

from __future__ import annotations

import logging
import shutil
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from processors.engine.errors import LocalStateError
from processors.engine.stage import Put

log = logging.getLogger(__name__)

_OFFSETS = b"position"
_FORMAT = b"format"
_offsets = struct.Struct("<qq")
_PREFIX = "bucket-"
_ALL = 0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """How a table stores its entries."""

    window_ms: int | None = None
    """Entries older than this may be dropped; None keeps all."""
    buckets: int = 2
    """Buckets in a window; one or two more exist at its edges."""
    write_buffer_bytes: int = 8 * MIB
    cache_bytes: int = 16 * MIB

    @property
    def bucket_ms(self) -> int | None:
        """Length of a bucket, None if there is only one."""
        return None if self.window_ms is None else max(1, self.window_ms // self.buckets)

    @property
    def format(self) -> bytes:
        """Format of the stored data. It has the bucket length, because bucket numbers are multiples of it."""
        return b"3:%d" % (self.bucket_ms or 0)


class PartitionStore:
    """Entries of one partition, and the offsets up to which they are complete."""

    def __init__(self, path: Path, config: StoreConfig) -> None:
        self._path = path
        self._config = config
        self._families: dict[int, tuple[Any, Any]] = {}
        self._default: Any = None
        self.changelog_offset = -1
        """Highest offset of the changelog that is applied."""
        self.processed_offset = -1
        """Highest offset of the input whose outputs are applied."""
        try:
            self._open()
        except Exception as error:
            # rocksdict raises bare Exception. Deleting repairs damage; it does not help with a full disk, and it would
            # destroy the state of the process that holds the lock.
            if any(sign in str(error) for sign in ("lock", "No space")):
                raise LocalStateError(
                    f"Cannot open local state at {path}: {error}. Another process may use this SEQUENCE_WORKER_DIR, or "
                    f"the disk may be full."
                ) from error
            log.warning("local state at %s is damaged or outdated (%s); rebuilding it from its changelog", path, error)
            self._families.clear()
            shutil.rmtree(path, ignore_errors=True)
            self._open()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the newest value of each key, None for a missing key."""
        found: list[bytes | None] = [None] * len(keys)
        indexes: Sequence[int] = range(len(keys))
        missing = list(keys)
        for _, (family, _handle) in sorted(self._families.items(), reverse=True):
            values = family.get(missing)
            if values.count(None) == len(values):
                continue
            left = []
            for index, value in zip(indexes, values, strict=True):
                if value is None:
                    left.append(index)
                else:
                    found[index] = value
            if not left:
                break
            indexes, missing = left, [keys[index] for index in left]
        return found

    def apply(self, puts: Iterable[Put], *, changelog_offset: int, processed_offset: int) -> None:
        """Write *puts* and the offsets atomically, then drop buckets that are out of the window.

        `processed_offset` never decreases.
        """
        batch = WriteBatch(raw_mode=True)
        bucket_ms = self._config.bucket_ms
        newest = max(self._families, default=_ALL)
        current = -1
        for key, value, time_ms in puts:
            bucket = _ALL if bucket_ms is None else time_ms // bucket_ms
            if bucket != current:
                batch.set_default_column_family(self._family(bucket)[1])
                current = bucket
                newest = max(newest, bucket)
            if value is None:
                del batch[key]
            else:
                batch[key] = value
        batch.set_default_column_family(self._default)
        processed_offset = max(processed_offset, self.processed_offset)
        batch[_OFFSETS] = _offsets.pack(changelog_offset, processed_offset)
        self._db.write(batch)
        self.changelog_offset, self.processed_offset = changelog_offset, processed_offset
        if bucket_ms is not None:
            self._drop_before(newest * bucket_ms - (self._config.window_ms or 0))

    def entries(self) -> dict[bytes, bytes]:
        """Return every entry with its newest value, to compare stores in tests and tools."""
        merged: dict[bytes, bytes] = {}
        for _, (family, _handle) in sorted(self._families.items()):
            merged.update(family.items())
        return merged

    def close(self) -> None:
        """Close the database and release its lock."""
        # RocksDB keeps its lock until the last column family is dropped.
        self._families.clear()
        self._default = None
        self._db.close()
        del self._db

    def _open(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        fresh = not (self._path / "CURRENT").exists()
        names = ["default"] if fresh else Rdict.list_cf(str(self._path), Options(raw_mode=True))
        options = self._options()
        self._db = Rdict(str(self._path), options, column_families={name: self._options() for name in names})
        self._default = self._db.get_column_family_handle("default")
        if fresh:
            self._db[_FORMAT] = self._config.format
        elif self._db.get(_FORMAT) != self._config.format:
            self.close()
            raise ValueError("written by another version, or for another window")
        stored = self._db.get(_OFFSETS)
        if stored is not None:
            self.changelog_offset, self.processed_offset = _offsets.unpack(stored)
        for name in names:
            if name.startswith(_PREFIX):
                self._open_family(int(name.removeprefix(_PREFIX)))

    def _options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003  # its only signature
        options.set_write_buffer_size(self._config.write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_keep_log_file_num(2)
        options.set_max_open_files(64)
        table = BlockBasedOptions()
        table.set_block_cache(_shared_cache(self._config.cache_bytes))
        table.set_bloom_filter(10, False)  # noqa: FBT003
        table.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(table)
        return options

    def _family(self, bucket: int) -> tuple[Any, Any]:
        if bucket not in self._families:
            self._db.create_column_family(f"{_PREFIX}{bucket}", self._options())
            self._open_family(bucket)
        return self._families[bucket]

    def _open_family(self, bucket: int) -> None:
        name = f"{_PREFIX}{bucket}"
        self._families[bucket] = (self._db.get_column_family(name), self._db.get_column_family_handle(name))

    def _drop_before(self, time_ms: int) -> None:
        bucket_ms = self._config.bucket_ms or 1
        for bucket in [bucket for bucket in self._families if (bucket + 1) * bucket_ms <= time_ms]:
            del self._families[bucket]
            self._db.drop_column_family(f"{_PREFIX}{bucket}")


_caches: dict[int, Cache] = {}


def _shared_cache(size_bytes: int) -> Cache:
    """Return the block cache of that size, which all partitions of a process share."""
    if size_bytes not in _caches:
        _caches[size_bytes] = Cache(size_bytes)
    return _caches[size_bytes]
