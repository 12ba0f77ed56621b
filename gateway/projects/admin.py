"""Administration of projects and tokens: the operations behind `sequence project` and `sequence token`.

Each operation reads the topic, lets `gateway.projects.changes` decide, and writes the records of the decision. When it
returns, all in-sync replicas have them. A rejected change raises an `AdminError`, unreachable Kafka `UnavailableError`,
a missing topic or permission `StartError`. Times are microseconds since 1970.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from gateway.errors import StartError, UnavailableError, describe
from gateway.kafka.aiokafka_private import close
from gateway.projects import changes
from gateway.projects.registry import CLOSE_TIMEOUT_SECONDS, open_topic, read_to_end
from schemas.denials import denial
from schemas.field_rules import FieldRule
from schemas.project_table import ProjectTable
from schemas.projects import Project, Scope, Token
from schemas.records import KeyValue
from schemas.retention import Retention
from schemas.settings import KafkaSettings, certificate_fault, kafka_arguments
from schemas.topics import Topics

_RECORD_BYTES = 100
"""More than what a record takes beside key and value."""
_BATCH_BYTES = 16 * 1024

_T = TypeVar("_T")


class ProjectsTopic(Protocol):
    """The topic `projects.v1`."""

    async def read(self) -> ProjectTable:
        """Return every project and token as of now."""

    async def append(self, records: Sequence[KeyValue]) -> None:
        """Write *records* in one batch: all or none of them."""


async def perform(topic: ProjectsTopic, decide: Callable[[ProjectTable, int], changes.Change[_T]]) -> _T:
    """Decide a change on the table as of now, write it and return its result."""
    change = decide(await topic.read(), _now())
    if change.records:
        await topic.append(change.records)
    if change.failure is not None and (failure := change.failure(await topic.read())) is not None:
        raise failure
    return change.result


async def create_project(kafka: KafkaSettings, project_id: str, name: str) -> None:
    """Create an enabled project without a rate limit."""
    await perform(KafkaProjectsTopic(kafka), lambda table, now: changes.create_project(table, now, project_id, name))


async def update_project(  # noqa: PLR0913  # the options of the command
    kafka: KafkaSettings,
    project_id: str,
    *,
    disabled: bool | None = None,
    items_per_second: float | None = None,
    burst: float | None = None,
    item_bytes: int | None = None,
    retention: Retention | None = None,
    event_retention: Mapping[str, int | None] | None = None,
) -> None:
    """Change the given fields of a project. `items_per_second=0` and `item_bytes=0` remove the limit.

    *event_retention* has the days by name of the event; None lets it be kept as long as the others.
    """
    await perform(
        KafkaProjectsTopic(kafka),
        lambda table, _: changes.update_project(
            table,
            project_id,
            disabled=disabled,
            items_per_second=items_per_second,
            burst=burst,
            item_bytes=item_bytes,
            retention=retention,
            event_retention=event_retention,
        ),
    )


async def change_field_rules(
    kafka: KafkaSettings, project_id: str, rules: Sequence[FieldRule], removed: Sequence[str] = ()
) -> None:
    """Set *rules* of a project, each in place of the one for its path, and remove those of the paths *removed*."""
    await perform(
        KafkaProjectsTopic(kafka), lambda table, _: changes.change_field_rules(table, project_id, rules, removed)
    )


async def read_project(kafka: KafkaSettings, project_id: str) -> Project:
    """Return the project; raises `UnknownProjectError`."""
    return changes.project_of(await read_table(kafka), project_id)


async def list_projects(kafka: KafkaSettings) -> list[Project]:
    """Return every project, ordered by ID."""
    return sorted((await read_table(kafka)).projects.values(), key=lambda project: project.id)


async def create_token(
    kafka: KafkaSettings,
    project_id: str,
    *,
    expires_at: int | None = None,
    token: str | None = None,
    scope: Scope = "write",
) -> str:
    """Create a token for the project and return it. Its secret is not stored and cannot be shown again.

    With the scope `operate`, *project_id* is empty.

    *token* registers an existing secret instead, for example a write key that clients already have.
    """
    return await perform(
        KafkaProjectsTopic(kafka),
        lambda table, now: changes.create_token(
            table, now, project_id, token=token, expires_at=expires_at, scope=scope
        ),
    )


async def rotate_token(kafka: KafkaSettings, token_id: str, *, overlap_seconds: int) -> str:
    """Replace the token with the ID *token_id*: create and return a successor, and expire the old token.

    The old token stays valid for *overlap_seconds*, or until its own expiry if that is sooner. The successor has the
    same project, scope and lifetime.
    """
    return await perform(
        KafkaProjectsTopic(kafka),
        lambda table, now: changes.rotate_token(table, now, token_id, overlap_seconds=overlap_seconds),
    )


async def list_tokens(kafka: KafkaSettings, project_id: str | None = None) -> list[Token]:
    """Return the tokens of one project or of all, including revoked and expired ones, oldest first."""
    return [token for token, _ in await list_tokens_with_last_use(kafka, project_id)]


async def list_tokens_with_last_use(
    kafka: KafkaSettings, project_id: str | None = None
) -> list[tuple[Token, str | None]]:
    """Return the tokens of `list_tokens` with the day of their last use, in UTC; None for an unused token."""
    table = await read_table(kafka)
    if project_id is not None:
        changes.project_of(table, project_id)
    uses = {name: use.day for name, use in table.uses.items()}
    found = [(token, uses.get(name)) for name, token in table.tokens.items()]
    chosen = [entry for entry in found if project_id in (None, entry[0].project_id)]
    return sorted(chosen, key=lambda entry: (entry[0].project_id, entry[0].created_at, entry[0].id))


async def revoke_token(kafka: KafkaSettings, token_id: str) -> None:
    """Revoke the token with the ID *token_id*. Revoking it again changes nothing."""
    await perform(KafkaProjectsTopic(kafka), lambda table, now: changes.revoke_token(table, now, token_id))


async def read_table(kafka: KafkaSettings) -> ProjectTable:
    """Return every project and token as of now."""
    return await KafkaProjectsTopic(kafka).read()


class KafkaProjectsTopic:
    """The topic in Kafka. Each call connects anew: commands are rare."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    async def read(self) -> ProjectTable:
        """Return every project and token as of now."""
        try:
            consumer = await open_topic(self._kafka)
            try:
                return await read_to_end(consumer)
            finally:
                await close(consumer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)
        except (KafkaError, OSError) as error:
            raise _unavailable(self._kafka, error) from error

    async def append(self, records: Sequence[KeyValue]) -> None:
        """Write *records* in one batch: all or none of them."""
        size = sum(len(key) + len(value) + _RECORD_BYTES for key, value in records)
        producer = AIOKafkaProducer(
            **kafka_arguments(self._kafka),
            client_id="sequence-projects",
            enable_idempotence=True,
            max_batch_size=max(size, _BATCH_BYTES),
        )
        batch = producer.create_batch()
        for key, value in records:
            batch.append(timestamp=None, key=key, value=value)
        try:
            await producer.start()
            topic = Topics(self._kafka.topic_prefix).projects
            acknowledged = await producer.send_batch(batch, topic, partition=0)
            await acknowledged
        except (KafkaError, OSError) as error:
            if (denied := denial(error, "WRITE")) is not None:
                raise StartError(denied) from error
            raise _unavailable(self._kafka, error) from error
        finally:
            await close(producer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)


def _unavailable(kafka: KafkaSettings, error: Exception) -> UnavailableError:
    # The text of a KafkaConnectionError has only the addresses.
    reason = certificate_fault(kafka) if isinstance(error, KafkaConnectionError) else f": {describe(error)}"
    return UnavailableError(
        f"Kafka at {kafka.bootstrap_servers} is unreachable{reason}. "
        "Check SEQUENCE_KAFKA_SERVERS and that the broker is running."
    )


def _now() -> int:
    return time.time_ns() // 1000
