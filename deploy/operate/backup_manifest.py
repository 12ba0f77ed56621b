"""What a backup has: its manifest, which is written last and makes the backup count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

FORMAT = 1
"""Version of the manifest. A reader refuses a higher one."""
STEPS: Mapping[str, tuple[str, ...] | None] = {
    "positions": ("_positions", "catalog_counts", "erasures", "removals"),
    "rows": None,
    "logs": ("_logs", "replays", "view_columns", "schema_migrations"),
}
"""Tables by the statement that saves them, in order. None means all others.

A note in `_positions` hides rows at or below it, `catalog_counts` says which rows are counted, and `erasures` and
`removals` which are gone. They are saved before the rows, so that a restored database never claims a row that it lacks,
or that one is gone which it has. A row needs its log in `_logs`, which is registered first, so `_logs` is saved after
the rows.
"""


class Content(msgspec.Struct, frozen=True, rename="camel"):
    """A table in a backup."""

    step: str
    rows: int
    parts: int
    bytes: int
    """On the disk of ClickHouse."""
    checksum: str
    """SHA-256 of the rows and hashes of all parts; empty for a table without parts."""


class Position(msgspec.Struct, frozen=True, rename="camel"):
    """The highest source offset of the rows of a partition."""

    table: str
    log: int
    partition: int
    position: int


class Log(msgspec.Struct, frozen=True, rename="camel"):
    """A row of `_logs`."""

    id: int
    cluster_id: str
    topic_prefix: str
    topic_version: str
    partitions: int


class Step(msgspec.Struct, frozen=True, rename="camel"):
    """What one BACKUP statement wrote."""

    tables: Sequence[str]
    views: Sequence[str]
    bytes: int
    """Written by this backup; what the base has is not part of it."""
    index_sha256: str
    """Of ClickHouse's list of the files, without the place of the base; empty if it is not in the directory."""


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """A complete backup."""

    format: int
    name: str
    created_at: str
    """UTC, in ISO 8601: when the first statement began."""
    seconds: float
    version: str
    """Of Sequence events."""
    clickhouse_version: str
    database: str
    destination: str | None
    """Where ClickHouse wrote the rows, without credentials; None for the directory itself."""
    base: str | None
    """Name of the backup that has the unchanged files; None for a full backup."""
    migrations: Mapping[str, str]
    """SHA-256 of each applied migration, by name."""
    logs: Sequence[Log]
    positions: Sequence[Position]
    steps: Mapping[str, Step]
    tables: Mapping[str, Content]
    projects: int | None
    """Number of records of `projects.v1`; None if they were left out."""

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(content.rows for content in self.tables.values())

    @property
    def bytes(self) -> int:
        """Bytes that this backup wrote."""
        return sum(step.bytes for step in self.steps.values())

    @property
    def kind(self) -> str:
        """Full, or incremental with the name of its base."""
        return "full" if self.base is None else f"incremental to {self.base}"


def step_of(table: str) -> str:
    """Return the name of the step that saves *table*."""
    return next((name for name, tables in STEPS.items() if tables and table in tables), "rows")
