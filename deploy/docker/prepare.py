"""The `init` service of the compose file: creates topics, tables, a project and its token before the services start.

It is idempotent: another run changes nothing and prints the same token, which is stored in the state directory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import click

from deploy import topics
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.error_messages import report_errors
from deploy.local.quickstart import development_token, quickstart
from deploy.logging import LogSettings, configure
from deploy.settings import LocalSettings, state_directory
from gateway.settings import GatewaySettings
from processors.clickhouse import access
from processors.clickhouse.access import AnalystSettings
from processors.clickhouse.migrate import migrate
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, load


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Addresses of Kafka and ClickHouse, and the host's published ports of gateway and ClickHouse."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    local: LocalSettings = field(default_factory=LocalSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    embedded_clickhouse: EmbeddedClickHouseSettings = field(default_factory=EmbeddedClickHouseSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    analyst: AnalystSettings = field(default_factory=AnalystSettings)


@click.command()
@report_errors
def main() -> None:
    """Create missing topics and tables, and print a token with commands to paste."""
    settings = load(PrepareSettings)
    configure(settings.logs)
    for name in asyncio.run(topics.apply(settings.kafka, settings.topics)):
        click.echo(f"Topic {name} created or updated.")
    for name in migrate(settings.clickhouse):
        click.echo(f"Migration {name} applied.")
    if settings.analyst.password:
        access.ensure(settings.clickhouse, settings.analyst.password)
    token = asyncio.run(development_token(settings.kafka, state_directory(settings.local) / "dev-token"))
    click.echo(quickstart(token, settings.gateway, published_clickhouse(settings)))


def published_clickhouse(settings: PrepareSettings) -> ClickHouseSettings:
    """Return ClickHouse's address on the host, with user and password in the URL of the command to paste."""
    clickhouse = settings.clickhouse
    user, password = clickhouse.username, clickhouse.password
    if settings.analyst.password:
        user, password = "analyst", settings.analyst.password
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return replace(clickhouse, url=f"http://{login}@127.0.0.1:{settings.embedded_clickhouse.port}")


if __name__ == "__main__":
    main()
