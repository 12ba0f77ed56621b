"""The disk space that a load takes: what topics, tables and local stores keep, by their own settings. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.operate.capacity import Load
from deploy.operate.capacity_coefficients import DEDUPE_ENTRY_BYTES, PERSON_BYTES, RECORD_BYTES, ROW_BYTES
from deploy.operate.capacity_size import Size
from schemas.topics import DAY_MS, Topics, without_prefix

DAY_SECONDS = 86_400
SEGMENT_BYTES = 1024**3
SEGMENT_DAYS = 7
"""Kafka's defaults of `log.segment.bytes` and `log.roll.hours`: what a partition keeps beyond its retention."""
BUCKETS = 2
TOLERANCE_SECONDS = 3600
"""Those of the dedupe table, which a test compares. A bucket is dropped whole, so entries stay for a bucket longer."""
WEEK_DAYS = 7
"""Rows leave ClickHouse by the week of their receipt."""
COMPACTION_DAYS = 2
"""Days that a state of a person stays on `persons.v1` at most: `segment.ms` and `max.compaction.lag.ms` are a day."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept, and how often."""

    users: float
    """Users that have a person."""
    days: float
    """Days that ClickHouse keeps rows."""
    items_retention_days: int = 7
    dedupe_window_days: float = 7.0
    replicas: int = 3
    """Copies of each partition of a topic."""
    standbys: int = 0
    """Other workers that have a copy of each local store."""
    partitions: int = 12


def topic_bytes(load: Load, kept: Kept) -> dict[str, float]:
    """Return the bytes of each topic on the disks of all brokers, without the prefix of its name.

    `rejected.v1` is missing: how much is rejected does not follow from a load.
    """
    declared = Topics().declare(
        partitions=kept.partitions,
        items_retention_days=kept.items_retention_days,
        dedupe_window_days=kept.dedupe_window_days,
    )
    found = {}
    for topic in declared:
        name = without_prefix(topic.name)
        per_second = written_per_second(load).get(name)
        if per_second is None:
            continue
        if topic.config["cleanup.policy"] == "compact":
            states = kept.users * _of(RECORD_BYTES[name], load)
            found[name] = kept.replicas * (states + per_second * DAY_SECONDS * COMPACTION_DAYS)
        else:
            seconds = int(topic.config["retention.ms"]) / DAY_MS * DAY_SECONDS
            segments = min(SEGMENT_BYTES * topic.partitions, per_second * DAY_SECONDS * SEGMENT_DAYS)
            found[name] = kept.replicas * (per_second * seconds + segments)
    return found


def written_per_second(load: Load) -> dict[str, float]:
    """Return the bytes that are written to each topic per second, before replication."""
    records = {
        "items.v1": load.events_per_second,
        "events.v1": load.unique,
        "duplicates.v1": load.events_per_second - load.unique,
        "identifies.v1": load.unique_identifies,
        "persons.v1": load.unique_identifies,
    }
    each = record_bytes(load)
    return {name: number * each[name] for name, number in records.items()}


def record_bytes(load: Load) -> dict[str, float]:
    """Return the bytes of a record of each topic, before replication."""
    return {name: _of(size, load) for name, size in RECORD_BYTES.items()}


def table_bytes(load: Load, kept: Kept) -> dict[str, float]:
    """Return the bytes of each table of one ClickHouse server, merged."""
    rows = {
        "events": load.unique - load.unique_identifies,
        "identifies": load.unique_identifies,
        "duplicates": load.events_per_second - load.unique,
    }
    seconds = (kept.days + WEEK_DAYS) * DAY_SECONDS
    found = {name: number * seconds * _of(ROW_BYTES[name], load) for name, number in rows.items()}
    return found | {"person_states": kept.users * _of(ROW_BYTES["person_states"], load)}


def dedupe_entries(load: Load, kept: Kept) -> float:
    """Return the entries of the dedupe table at most."""
    window = kept.dedupe_window_days * DAY_SECONDS
    return load.unique * (window * (1 + 1 / BUCKETS) + TOLERANCE_SECONDS)


def store_bytes(load: Load, kept: Kept) -> dict[str, float]:
    """Return the bytes of the local stores of each kind of worker, standbys included."""
    copies = 1 + kept.standbys
    return {
        "dedupe": copies * dedupe_entries(load, kept) * DEDUPE_ENTRY_BYTES,
        "persons": copies * kept.users * _of(PERSON_BYTES, load),
    }


def _of(size: Size, load: Load) -> float:
    return size.of(load.event_bytes, load.names)
