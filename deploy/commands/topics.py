"""`sequence topics`: Kafka topics."""

from __future__ import annotations

import asyncio
import os

import click

from deploy.error_messages import report_errors
from deploy.settings import load_kafka
from schemas.settings import KafkaSettings, TopicSettings, load_both

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.group()
def topics() -> None:
    """Manage Kafka topics."""


@topics.command("apply")
@report_errors
def topics_apply() -> None:
    """Create missing topics and update configuration.

    Fails if the partition count, timestamp type or cleanup policy of an existing topic differs, or if its retention is
    shorter and cannot be changed. Prints the name of each topic created or updated.
    """
    from deploy.topics import apply

    _, settings = load_both(KafkaSettings, TopicSettings)
    changed = asyncio.run(apply(load_kafka(os.environ), settings))
    click.echo("\n".join(changed) or "Topics are up to date.")
