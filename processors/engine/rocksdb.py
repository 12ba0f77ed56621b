"""Local state of one partition of a table: a RocksDB database that caches the table's changelog.

All changes of a batch are one atomic write, together with the offset that its outputs got, so the store always equals
the changelog up to `changelog_offset`. Writes survive a killed process (write-ahead log, no fsync); after a power loss
the store is rebuilt from the changelog.

A store is rebuilt only if its files are damaged or of another version. An error that may pass (no rights, no file
handles, no space, another process) leaves the files alone. A store is discarded by renaming it, because RocksDB opens a
store that lost some of its files as a valid one with older entries.

Entries may be kept in time buckets, one column family each. A bucket is dropped whole once all of it is out of the
window: expiry follows the entries' own times and costs nothing per entry. It depends on the order of the entries alone,
not on how they were divided into batches, so a rebuild gives the same store. No entry is dropped by its own time or by
an earlier one.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import struct
import threading
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict, WriteBatch

from processors.engine import window_clock
from processors.engine.errors import LocalStateUnavailableError
from processors.engine.rocksdb_options import MIB, rewrite_all, store_options
from processors.engine.stage import Put
from processors.engine.store_damage import OutdatedStoreError, is_damage, remedy

log = logging.getLogger(__name__)

_OFFSETS = b"position"
_FORMAT = b"format"
_offsets = struct.Struct("<qqq")
_PREFIX = "bucket-"
_ALL = 0
_DISCARDED = ".discarded"
_SIZES = ("rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables")
"""Properties of a column family."""


def discard(path: Path) -> None:
    """Delete the store at *path*, whole or not at all. Raises `OSError` if it is in use or cannot be renamed."""
    aside = path.with_name(f"{path.name}{_DISCARDED}")
    # RocksDB's own lock: another process may have replaced a file while this one was reading.
    with (path / "LOCK").open("ab") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(aside, ignore_errors=True)
        path.replace(aside)
    shutil.rmtree(aside, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """How a table stores its entries."""

    window_ms: int | None = None
    """Entries older than this may be dropped; None keeps all."""
    buckets: int = 2
    """Buckets in a window; one or two more exist at its edges."""
    tolerance_ms: int = window_clock.TOLERANCE_MS
    """How far times of entries may lie apart because clocks differ; entries are kept that much longer."""
    write_buffer_bytes: int = 8 * MIB
    cache_bytes: int = 16 * MIB

    @property
    def bucket_ms(self) -> int | None:
        """Length of a bucket, None if there is only one."""
        return None if self.window_ms is None else max(1, self.window_ms // self.buckets)

    @property
    def format(self) -> bytes:
        """Format of the stored data. It has the bucket length, because bucket numbers are multiples of it."""
        return b"4:%d" % (self.bucket_ms or 0)


class PartitionStore:
    """Entries of one partition, and the offsets up to which they are complete."""

    def __init__(self, path: Path, config: StoreConfig) -> None:
        self._path = path
        self._config = config
        self._families: dict[int, tuple[Any, Any]] = {}
        self._default: Any = None
        self._db: Any = None
        self._rewriting = threading.Lock()
        self.changelog_offset = -1
        """Highest offset of the changelog that is applied."""
        self.processed_offset = -1
        """Highest offset of the input whose outputs are applied."""
        self.clock_ms = window_clock.UNSET
        """Up to when entries have come, by their own times; `window_clock.UNSET` without a window."""
        try:
            self._open()
        except Exception as error:  # noqa: BLE001  # rocksdict raises bare Exception
            self._rebuild(error)

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
        """Write *puts* and the offsets atomically, and drop buckets that are out of the window.

        If that stops halfway, the offsets are the old ones and applying the same *puts* again gives the same store.
        `processed_offset` never decreases. Raises `LocalStateUnavailableError` if the store cannot be written.
        """
        try:
            self._apply(puts, changelog_offset, processed_offset)
        except Exception as error:
            raise self._unavailable("write", error) from error

    def forget_deleted(self) -> None:
        """Rewrite the files, so that none has an entry that was deleted or replaced before.

        For another thread: the store can be used meanwhile. `LocalStateUnavailableError` if it fails or is closed.
        """
        with self._rewriting:
            error = self._rewrite()
        if error is not None:
            raise self._unavailable("rewrite", error)

    def _rewrite(self) -> Exception | None:
        """Return what went wrong, without references to the database: it is open as long as there is one."""
        try:
            for family in [family for family, _ in self._families.values()]:
                family.flush()
                family.compact_range(None, None, rewrite_all())  # RocksDB's own log would name a range.
            self._db.flush()  # It ends the write-ahead log of what was written before.
        except Exception as error:  # noqa: BLE001  # rocksdict raises bare Exception
            return error.with_traceback(None)
        return None

    @property
    def is_open(self) -> bool:
        """Whether the database is open."""
        return self._db is not None

    def entries(self) -> dict[bytes, bytes]:
        """Return every entry with its newest value, to compare stores in tests and tools."""
        merged: dict[bytes, bytes] = {}
        for _, (family, _handle) in sorted(self._families.items()):
            merged.update(family.items())
        return merged

    @property
    def size_bytes(self) -> int:
        """Size of the entries in files and in memory."""
        families = [self._db, *(family for family, _ in self._families.values())]
        return sum(family.property_int_value(name) or 0 for family in families for name in _SIZES)

    def close(self) -> None:
        """Close the database and release its lock."""
        if is_rewriting := self._db is not None and self._rewriting.locked():
            self._db.cancel_all_background(wait=True)
        with self._rewriting:
            # RocksDB keeps its lock until the last column family is dropped.
            self._families.clear()
            self._default = None
            if self._db is not None:
                # It flushes nothing after a cancellation; the write-ahead log has the rest.
                with suppress(Exception) if is_rewriting else nullcontext():
                    self._db.close()
            self._db = None

    def _apply(self, puts: Iterable[Put], changelog_offset: int, processed_offset: int) -> None:
        batch = WriteBatch(raw_mode=True)
        clock_ms, time_before, bucket_before = self.clock_ms, None, None
        for key, value, time_ms in puts:
            # Entries of one Kafka batch have one time.
            if time_ms != time_before:
                time_before = time_ms
                clock_ms = self._advance(clock_ms, time_ms)
                if self._expired(clock_ms):
                    # The entries before this one belong to the buckets that this one drops.
                    self._db.write(batch)
                    batch, bucket_before = WriteBatch(raw_mode=True), None
                    self._drop_expired(clock_ms)
                bucket = self._bucket(time_ms)
                if bucket != bucket_before:
                    batch.set_default_column_family(self._family(bucket)[1])
                    bucket_before = bucket
            if value is None:
                del batch[key]
            else:
                batch[key] = value
        batch.set_default_column_family(self._default)
        processed_offset = max(processed_offset, self.processed_offset)
        batch[_OFFSETS] = _offsets.pack(changelog_offset, processed_offset, clock_ms)
        self._db.write(batch)
        self.changelog_offset, self.processed_offset, self.clock_ms = changelog_offset, processed_offset, clock_ms

    def _rebuild(self, error: Exception) -> None:
        """Replace a store that is damaged or outdated by an empty one; raise for every other *error*."""
        self.close()
        if not is_damage(error):
            raise self._unavailable("open", error) from error
        log.warning(
            "local state at %s is damaged or outdated (%s); rebuilding it from its changelog", self._path, error
        )
        try:
            discard(self._path)
            self._open()
        except Exception as again:
            self.close()
            raise self._unavailable("open", again) from again

    def _unavailable(self, action: str, error: Exception) -> LocalStateUnavailableError:
        return LocalStateUnavailableError(
            f"Cannot {action} local state at {self._path}: {error}. {remedy(error)} The local state is kept."
        )

    def _open(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        fresh = not _exists(self._path / "CURRENT")
        names = ["default"] if fresh else Rdict.list_cf(str(self._path), Options(raw_mode=True))
        options = self._options()
        self._db = Rdict(str(self._path), options, column_families={name: self._options() for name in names})
        self._default = self._db.get_column_family_handle("default")
        if fresh:
            self._db[_FORMAT] = self._config.format
        elif self._db.get(_FORMAT) != self._config.format:
            raise OutdatedStoreError("written by another version, or for another window")
        stored = self._db.get(_OFFSETS)
        if stored is not None:
            self.changelog_offset, self.processed_offset, self.clock_ms = _offsets.unpack(stored)
        for name in names:
            if name.startswith(_PREFIX):
                self._open_family(int(name.removeprefix(_PREFIX)))

    def _options(self) -> Options:
        config = self._config
        return store_options(config.write_buffer_bytes, config.cache_bytes, windowed=config.window_ms is not None)

    def _family(self, bucket: int) -> tuple[Any, Any]:
        if bucket not in self._families:
            self._db.create_column_family(f"{_PREFIX}{bucket}", self._options())
            self._open_family(bucket)
        return self._families[bucket]

    def _open_family(self, bucket: int) -> None:
        name = f"{_PREFIX}{bucket}"
        self._families[bucket] = (self._db.get_column_family(name), self._db.get_column_family_handle(name))

    def _bucket(self, time_ms: int) -> int:
        bucket_ms = self._config.bucket_ms
        return _ALL if bucket_ms is None else time_ms // bucket_ms

    def _advance(self, clock_ms: int, time_ms: int) -> int:
        if self._config.window_ms is None:
            return clock_ms
        return window_clock.advance(clock_ms, time_ms, self._config.tolerance_ms)

    def _expired(self, clock_ms: int) -> list[int]:
        """Return the buckets of which every entry is out of the window at *clock_ms*."""
        bucket_ms, window_ms = self._config.bucket_ms, self._config.window_ms
        if bucket_ms is None or window_ms is None:
            return []
        end_ms = window_clock.expired_before(clock_ms, window_ms, self._config.tolerance_ms)
        return [bucket for bucket in self._families if (bucket + 1) * bucket_ms <= end_ms]

    def _drop_expired(self, clock_ms: int) -> None:
        for bucket in self._expired(clock_ms):
            del self._families[bucket]
            self._db.drop_column_family(f"{_PREFIX}{bucket}")


def _exists(path: Path) -> bool:
    """Return whether *path* exists. `Path.exists` also answers False, in some versions, if it may not look."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True
