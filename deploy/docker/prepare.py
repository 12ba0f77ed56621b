"""The `init` service of the compose file: creates topics, tables, a project and its token before the services start.

It is idempotent: another run changes nothing and keeps the token, which is stored in the state directory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import click

from deploy import topics
from deploy.error_messages import report_errors
from deploy.local.quickstart import TOKEN_FILE, Commands, development_token, quickstart
from deploy.logging import LogSettings, configure
from deploy.settings import LocalSettings, state_directory
from gateway.settings import GatewaySettings
from processors.clickhouse import access
from processors.clickhouse.migrate import migrate
from processors.settings import AnalystSettings
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, load

COMMANDS = Commands("docker compose run --rm -T token", "docker compose run --rm sql")
"""They read the secrets from the volumes, so that no secret is in the log of this service."""


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Addresses of Kafka and ClickHouse, and the gateway's published port."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    local: LocalSettings = field(default_factory=LocalSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    logs: LogSettings = field(default_factory=LogSettings)
    analyst: AnalystSettings = field(default_factory=AnalystSettings)


@click.command()
@report_errors
def main() -> None:
    """Create missing topics and tables, and print commands to paste."""
    settings = load(PrepareSettings)
    configure(settings.logs)
    for name in asyncio.run(topics.apply(settings.kafka, settings.topics)):
        click.echo(f"Topic {name} created or updated.")
    for name in migrate(settings.clickhouse, say=click.echo):
        click.echo(f"Migration {name} applied.")
    if settings.analyst.password:
        access.ensure(settings.clickhouse, settings.analyst.password)
    asyncio.run(development_token(settings.kafka, state_directory(settings.local) / TOKEN_FILE))
    click.echo(quickstart(COMMANDS, settings.gateway))


if __name__ == "__main__":
    main()
