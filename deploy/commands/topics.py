"""`sequence topics`: Kafka topics, and the rights on them."""

from __future__ import annotations

import asyncio
import os

import click

from deploy.error_messages import report_errors
from deploy.settings import load_kafka, with_replicas
from schemas.settings import KafkaSettings, TopicSettings, load_both

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.group()
def topics() -> None:
    """Manage Kafka topics and the rights on them."""


@topics.command("apply")
@report_errors
def topics_apply() -> None:
    """Create missing topics and update configuration.

    Fails if the partition count, timestamp type or cleanup policy of an existing topic differs, or if its retention is
    shorter and cannot be changed. Prints the name of each topic created or updated.
    """
    from deploy.topics import apply

    _, settings = load_both(KafkaSettings, TopicSettings, with_replicas(os.environ))
    changed = asyncio.run(apply(load_kafka(os.environ), settings))
    click.echo("\n".join(changed) or "Topics are up to date.")


@topics.command("rights")
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option("--principal", metavar="NAME", help="Principal of Kafka, such as User:CN=gateway; default User:PART.")
@report_errors
def topics_rights(parts: tuple[str, ...], principal: str | None) -> None:
    """Print the ACLs that each PART needs, as calls of kafka-acls.sh.

    The rights are on the topics and groups of SEQUENCE_TOPIC_PREFIX. Without PART, those of all parts are printed. Run
    the lines as an administrator of the cluster, whose login is in admin.properties.
    """
    from deploy.kafka_rights import PARTS, acl_arguments

    if unknown := [part for part in parts if part not in PARTS]:
        raise click.UsageError(f"{unknown[0]!r} is no part. Name one of {', '.join(PARTS)}.")
    if principal is not None and len(parts) != 1:
        raise click.UsageError("--principal needs one PART.")
    kafka = load_kafka(os.environ)
    call = f"kafka-acls.sh --bootstrap-server {kafka.bootstrap_servers} --command-config admin.properties"
    for part in parts or PARTS:
        click.echo(f"# {PARTS[part].commands.replace('`', '')}")
        for arguments in acl_arguments(part, kafka.topic_prefix, principal or f"User:{part}"):
            click.echo(f"{call} {arguments}")
