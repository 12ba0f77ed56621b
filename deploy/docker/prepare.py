"""What `init` of the compose file does, once, before the services start: topics, tables, a project and its token.

Running it again changes nothing and prints the same token, which it keeps in the state directory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import click

from deploy import topics
from deploy.cli import reported
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.local.quickstart import development_token, greeting
from deploy.logging import LogSettings, configure
from deploy.settings import LocalSettings, state_directory
from gateway.settings import GatewaySettings
from processors.clickhouse import access
from processors.clickhouse.access import AnalystSettings
from processors.clickhouse.migrate import migrate
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, load


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Where Kafka and ClickHouse are, and the ports by which this machine's user reaches gateway and ClickHouse."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    local: LocalSettings = field(default_factory=LocalSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    front: EmbeddedClickHouseSettings = field(default_factory=EmbeddedClickHouseSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    analyst: AnalystSettings = field(default_factory=AnalystSettings)


@click.command()
@reported
def main() -> None:
    """Make what is missing of topics and tables, and print a token with lines to paste."""
    settings = load(PrepareSettings)
    configure(settings.logs)
    for name in asyncio.run(topics.apply(settings.kafka, settings.topics)):
        click.echo(f"Topic {name} is as it should be now.")
    for name in migrate(settings.clickhouse):
        click.echo(f"Tables: {name} applied.")
    if settings.analyst.password:
        access.ensure(settings.clickhouse, settings.analyst.password)
    token = asyncio.run(development_token(settings.kafka, state_directory(settings.local) / "dev-token"))
    click.echo(greeting(token, settings.gateway, from_outside(settings)))


def from_outside(settings: PrepareSettings) -> ClickHouseSettings:
    """Return ClickHouse as a person on this machine reaches it, with the user in the address for a line to paste."""
    clickhouse = settings.clickhouse
    user, password = clickhouse.username, clickhouse.password
    if settings.analyst.password:
        user, password = "analyst", settings.analyst.password
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return replace(clickhouse, url=f"http://{login}@127.0.0.1:{settings.front.port}")


if __name__ == "__main__":
    main()
