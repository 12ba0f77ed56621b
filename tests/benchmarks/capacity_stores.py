"""The size of the local stores of workers: of a dedupe entry and of a person, in stores of the product."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.operate.capacity import Load
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items
from processors.dedupe.decision import replay
from processors.engine.rocksdb import PartitionStore, StoreConfig
from processors.persons.fold import fold_batch
from schemas.items import Identify, Item
from schemas.records import content_digest, event_headers, item_key, person_key
from schemas.topics import DAY_MS
from tests.benchmarks.capacity_events import EventMaker
from tests.benchmarks.capacity_samples import RowSize
from tests.support.records import SlimRecord

PROJECT = "dev"
_WINDOW = StoreConfig(window_ms=7 * DAY_MS)


def dedupe_entry_bytes(entries: int = 200_000) -> float:
    """Return the bytes on disk of a dedupe entry, of so many with random messageIds."""
    with tempfile.TemporaryDirectory() as directory:
        store = PartitionStore(Path(directory, "store"), _WINDOW)
        try:
            now, offset = time.time_ns() // 1_000_000, 0
            for items in _batches(Load(0, 300, 4, per_request=1_000, identifies=0, duplicates=0), entries // 1_000):
                records = []
                for item in items:
                    headers = event_headers(item.message_id.encode(), offset, now, content_digest(item))
                    records.append(SlimRecord(offset, item_key(PROJECT, item.message_id), b"", now, headers))
                    offset += 1
                puts, processed = replay(records, -1)
                store.apply(puts, changelog_offset=offset, processed_offset=processed)
            store.forget_deleted()
            return store.size_bytes / offset
        finally:
            store.close()


def person_bytes(load: Load, persons: int = 5_000) -> RowSize:
    """Return the bytes on disk of a person with the traits of one identify of *load*."""
    identifies = Load(0, load.event_bytes, load.names, per_request=1_000, identifies=1, duplicates=0)
    with tempfile.TemporaryDirectory() as directory:
        store = PartitionStore(Path(directory, "store"), StoreConfig())
        try:
            for number, items in enumerate(_batches(identifies, persons // 1_000)):
                keyed = [(person_key(PROJECT, item.user_id), item) for item in items if isinstance(item, Identify)]
                folded = fold_batch(keyed, {key: None for key, _ in keyed})
                puts = [(key, value, 0) for key, value in folded.changed.items()]
                store.apply(puts, changelog_offset=number, processed_offset=number)
            store.forget_deleted()
            known = len(store.entries())
            return RowSize("persons", load.event_bytes, load.names, known, store.size_bytes / known)
        finally:
            store.close()


def _batches(load: Load, number: int) -> Iterator[list[Item]]:
    for body in EventMaker(load, "S").bodies(number):
        result = validate_items(parse_envelope(body), project_id=PROJECT, received_at=time.time_ns() // 1000)
        if result.rejected:
            raise ValueError(f"The gateway rejects an event: {result.rejected[0]}")
        yield list(result.accepted)
