"""`sequence tables`: ClickHouse tables."""

from __future__ import annotations

import click

from deploy.error_messages import report_errors
from schemas.settings import ClickHouseSettings, load_both

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.group()
def tables() -> None:
    """Manage ClickHouse tables."""


@tables.command("migrate")
@report_errors
def tables_migrate() -> None:
    """Apply pending migrations to ClickHouse.

    Creates or updates the read-only user `analyst` if SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD is set. Prints the name of
    each migration applied.
    """
    from processors.clickhouse.access import ensure
    from processors.clickhouse.migrate import migrate
    from processors.settings import AnalystSettings

    settings, analyst = load_both(ClickHouseSettings, AnalystSettings)
    applied = migrate(settings)
    if analyst.password:
        ensure(settings, analyst.password)
    click.echo("\n".join(applied) or "No migrations to apply.")
