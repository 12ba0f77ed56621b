"""Administration of projects and tokens: the operations behind `sequence project` and `sequence token`.

Each operation reads the topic, validates the change and writes it. When it returns, all in-sync replicas have the
record. A rejected change raises an `AdminError`, unreachable Kafka `UnavailableError`, a missing topic `StartError`.
Times are microseconds since 1970.
"""

from __future__ import annotations

import sys
import time

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from gateway.errors import (
    InvalidProjectError,
    InvalidTokenError,
    ProjectExistsError,
    TokenExistsError,
    UnavailableError,
    UnknownProjectError,
    UnknownTokenError,
    describe,
)
from gateway.kafka.aiokafka_private import close
from gateway.projects.registry import CLOSE_TIMEOUT_SECONDS, open_topic, read_to_end
from gateway.projects.table import ProjectTable
from schemas.projects import (
    Project,
    Scope,
    Token,
    describe_token,
    digest,
    is_project_id,
    is_token,
    new_token,
    project_entry,
    token_entry,
)
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topics


async def create_project(kafka: KafkaSettings, project_id: str, name: str) -> None:
    """Create an enabled project without a rate limit."""
    if not is_project_id(project_id):
        raise InvalidProjectError(f"Invalid project ID {project_id!r}: use 1-64 letters, digits, `_` or `-`.")
    if project_id in (await read_table(kafka)).projects:
        raise ProjectExistsError(f"Project {project_id} already exists.")
    await _write(kafka, *project_entry(Project(project_id, name, _now())))


async def update_project(
    kafka: KafkaSettings,
    project_id: str,
    *,
    disabled: bool | None = None,
    items_per_second: float | None = None,
    burst: float | None = None,
) -> None:
    """Change the given fields of a project. `items_per_second=0` removes the rate limit."""
    project = _project(await read_table(kafka), project_id)
    if (items_per_second or 0) < 0 or (burst is not None and burst <= 0):
        raise InvalidProjectError("`items_per_second` and `burst` must be greater than zero.")
    if disabled is not None:
        project = msgspec.structs.replace(project, disabled=disabled)
    if items_per_second is not None:
        project = msgspec.structs.replace(project, items_per_second=items_per_second or None)
    if burst is not None:
        project = msgspec.structs.replace(project, burst=burst)
    await _write(kafka, *project_entry(project))


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

    *token* registers an existing secret instead, for example a write key that clients already have.
    """
    now = _now()
    table = await read_table(kafka)
    _project(table, project_id)
    if expires_at is not None and expires_at <= now:
        raise InvalidTokenError("The expiry of the token is in the past.")
    token = token or new_token(project_id)
    if not is_token(token):
        raise InvalidTokenError("Invalid token: use 16-256 visible ASCII characters.")
    if digest(token) in table.tokens:
        raise TokenExistsError("The token already exists.")
    described = describe_token(token, project_id, created_at=now, expires_at=expires_at, scope=scope)
    await _write(kafka, *token_entry(digest(token), described))
    return token


async def rotate_token(kafka: KafkaSettings, token_id: str, *, overlap_seconds: int) -> str:
    """Replace the token with the ID *token_id*: create and return a successor, and expire the old token.

    The old token stays valid for *overlap_seconds*, or until its own expiry if that is sooner. The successor has the
    same project, scope and lifetime.
    """
    now = _now()
    old_digest, old = _token(await read_table(kafka), token_id)
    if not old.is_valid(now):
        raise InvalidTokenError(
            f"Token {token_id} is revoked or expired. Create a new one with `sequence token create`."
        )
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    token = new_token(old.project_id)
    new = describe_token(
        token,
        old.project_id,
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        scope=old.scope,
    )
    await _write(kafka, *token_entry(digest(token), new))
    ends_at = min(now + overlap_seconds * 1_000_000, old.expires_at or sys.maxsize)
    await _write(kafka, *token_entry(old_digest, msgspec.structs.replace(old, expires_at=ends_at)))
    return token


async def list_tokens(kafka: KafkaSettings, project_id: str | None = None) -> list[Token]:
    """Return the tokens of one project or of all, including revoked and expired ones, oldest first."""
    return [token for token, _ in await list_tokens_with_last_use(kafka, project_id)]


async def list_tokens_with_last_use(
    kafka: KafkaSettings, project_id: str | None = None
) -> list[tuple[Token, str | None]]:
    """Return the tokens of `list_tokens` with the day of their last use, in UTC; None for an unused token."""
    table = await read_table(kafka)
    if project_id is not None:
        _project(table, project_id)
    uses = {name: use.day for name, use in table.uses.items()}
    found = [(token, uses.get(name)) for name, token in table.tokens.items()]
    chosen = [entry for entry in found if project_id in (None, entry[0].project_id)]
    return sorted(chosen, key=lambda entry: (entry[0].project_id, entry[0].created_at, entry[0].id))


async def revoke_token(kafka: KafkaSettings, token_id: str) -> None:
    """Revoke the token with the ID *token_id*. Revoking it again changes nothing."""
    token_digest, token = _token(await read_table(kafka), token_id)
    if token.revoked_at is None:
        await _write(kafka, *token_entry(token_digest, msgspec.structs.replace(token, revoked_at=_now())))


async def read_table(kafka: KafkaSettings) -> ProjectTable:
    """Return every project and token as of now."""
    try:
        consumer = await open_topic(kafka)
        try:
            return await read_to_end(consumer)
        finally:
            await close(consumer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)
    except (KafkaError, OSError) as error:
        raise _unavailable(kafka, error) from error


async def _write(kafka: KafkaSettings, key: bytes, value: bytes) -> None:
    producer = AIOKafkaProducer(**kafka_arguments(kafka), client_id="sequence-projects", enable_idempotence=True)
    try:
        await producer.start()
        await producer.send_and_wait(Topics(kafka.topic_prefix).projects, value, key, partition=0)
    except (KafkaError, OSError) as error:
        raise _unavailable(kafka, error) from error
    finally:
        await producer.stop()


def _unavailable(kafka: KafkaSettings, error: Exception) -> UnavailableError:
    # The text of a KafkaConnectionError has only the addresses.
    reason = "" if isinstance(error, KafkaConnectionError) else f": {describe(error)}"
    return UnavailableError(
        f"Kafka at {kafka.bootstrap_servers} is unreachable{reason}. "
        "Check SEQUENCE_KAFKA_SERVERS and that the broker is running."
    )


def _project(table: ProjectTable, project_id: str) -> Project:
    try:
        return table.projects[project_id]
    except KeyError:
        raise UnknownProjectError(
            f"Unknown project {project_id}. `sequence project list` shows every project."
        ) from None


def _token(table: ProjectTable, token_id: str) -> tuple[str, Token]:
    """Return the digest and the record of the token with the ID."""
    for token_digest, token in table.tokens.items():
        if token.id == token_id:
            return token_digest, token
    raise UnknownTokenError(f"Unknown token {token_id}. `sequence token list` shows every token.")


def _now() -> int:
    return time.time_ns() // 1000
