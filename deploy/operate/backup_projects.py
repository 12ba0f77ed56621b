"""The records of `projects.v1` in a backup: projects, tokens as digests, settings and field rules.

A restore writes the records whose keys the topic does not have. No key is ever removed from it, so in the Kafka of the
backup this writes nothing, and what was revoked since then stays revoked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from gateway.kafka.aiokafka_private import close
from gateway.projects.admin import KafkaProjectsTopic
from gateway.projects.registry import CLOSE_TIMEOUT_SECONDS, batches_to_end, open_topic
from schemas.projects import Deployment, InvalidEntryError, ProjectCreation, decode_entry
from schemas.records import KeyValue
from schemas.settings import KafkaSettings

_BATCH_BYTES = 12_000
"""Below the size of a producer's batch, which is written whole or not at all."""
_RECORD_BYTES = 100
"""More than what a record takes beside key and value."""


class _Line(msgspec.Struct):
    key: str
    value: str


async def read(kafka: KafkaSettings) -> list[KeyValue]:
    """Return the last record of each key, in the order of the topic. Raises what `batches_to_end` raises."""
    found: dict[bytes, bytes] = {}
    consumer = await open_topic(kafka)
    try:
        async for records in batches_to_end(consumer):
            for record in records:
                found.pop(record.key, None)
                if record.key is not None and record.value is not None:
                    found[record.key] = record.value
    finally:
        await close(consumer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)
    return [(key, value) for key, value in found.items() if _is_ours(key, value)]


def encode(records: Sequence[KeyValue]) -> bytes:
    """Return *records* as lines of JSON."""
    return b"".join(msgspec.json.encode(_Line(key.decode(), value.decode())) + b"\n" for key, value in records)


def decode(text: bytes) -> list[KeyValue]:
    """Return the records of `encode`."""
    lines = (msgspec.json.decode(line, type=_Line) for line in text.splitlines())
    return [(line.key.encode(), line.value.encode()) for line in lines]


async def add_missing(kafka: KafkaSettings, records: Sequence[KeyValue]) -> int:
    """Write those of *records* that the topic does not have, and return their number. Can be repeated."""
    present = await read(kafka)
    missing = list(missing_records(present, records))
    topic = KafkaProjectsTopic(kafka)
    for batch in batches(missing):
        await topic.append(batch)
    return len(missing)


def missing_records(present: Sequence[KeyValue], wanted: Sequence[KeyValue]) -> Iterator[KeyValue]:
    """Yield the records of *wanted* to write beside *present*.

    The number of partitions is that of the topics here, and of several creations of a project the first counts.
    """
    keys = {key for key, _ in present}
    projects = {decode_entry(key, value).subject for key, value in present if _kind(key, value) is ProjectCreation}
    for key, value in wanted:
        kind = _kind(key, value)
        if key in keys or kind is Deployment:
            continue
        if kind is ProjectCreation and decode_entry(key, value).subject in projects:
            continue
        yield key, value


def batches(records: Sequence[KeyValue]) -> Iterator[list[KeyValue]]:
    """Yield *records* in batches that Kafka writes whole or not at all."""
    batch: list[KeyValue] = []
    size = 0
    for key, value in records:
        bytes_of_record = len(key) + len(value) + _RECORD_BYTES
        if batch and size + bytes_of_record > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((key, value))
        size += bytes_of_record
    if batch:
        yield batch


def _kind(key: bytes, value: bytes) -> type[msgspec.Struct]:
    return decode_entry(key, value).kind


def _is_ours(key: bytes, value: bytes) -> bool:
    try:
        decode_entry(key, value)
    except InvalidEntryError:
        return False
    return True
