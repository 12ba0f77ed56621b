"""Mutants of erasure, backups, field rules and migrations. See `tests.faults.mutants`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer

from deploy.operate import backup
from deploy.operate.backup_manifest import STEPS
from gateway.projects import registry
from processors.clickhouse import partition_key
from processors.persons import stage
from processors.sink.erased import ErasedRows, LeftOut
from processors.sink.rows import Row
from schemas.items import Identify
from schemas.project_table import ProjectTable

Patch = Callable[[object, str, Any], None]
FIELD_RULE = b"field-rule/"
"""Beginning of the key of a rule on `projects.v1`."""


def erased_rows(patch: Patch) -> None:
    """Write the rows of erased users that are read again."""

    def write_all(self: ErasedRows, rows: Iterable[Row]) -> tuple[list[Row], list[LeftOut]]:
        del self
        return list(rows), []

    patch(ErasedRows, "divide", write_all)


def erased_identifies(patch: Patch) -> None:
    """Fold the identifies of erased users that are read again."""

    def as_it_is(identify: Identify, *_: object) -> Identify:
        return identify

    patch(stage, "after_erasures", as_it_is)


def notes_first(patch: Patch) -> None:
    """Save the noted positions after the rows that they are about."""
    patch(backup, "STEPS", {name: STEPS[name] for name in ("rows", "positions", "logs")})


def field_rules(patch: Patch) -> None:
    """Let a gateway forget at its start which rules were set."""

    async def read_without_rules(consumer: AIOKafkaConsumer) -> ProjectTable:
        table = ProjectTable()
        async for records in registry.batches_to_end(consumer):
            registry._apply(table, [each for each in records if not (each.key or b"").startswith(FIELD_RULE)])
        return table

    patch(registry, "read_to_end", read_without_rules)


def closed_tables(patch: Patch) -> None:
    """Let a table take rows while it is copied."""
    patch(partition_key, "_close", lambda *_: None)
    patch(partition_key, "_is_closed_with", lambda *_: True)
