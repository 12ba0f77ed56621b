"""Changes to projects and tokens: what the `sequence` command calls. Times are microseconds since 1970.

Each function reads the topic, checks and writes; the write is acknowledged by all in-sync replicas when it returns.
Refusals are `DirectoryError`s; `UnavailableError` and `StartError` say that Kafka or the topic is not there.
"""

from __future__ import annotations

import sys
import time

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

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
from gateway.projects.registry import close_consumer, open_topic, read_to_end
from schemas.projects import (
    Directory,
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
    """Make a project."""
    if not is_project_id(project_id):
        raise InvalidProjectError(f"{project_id!r} is no project id: 1 to 64 letters, digits, `_` and `-` are")
    if project_id in (await read_directory(kafka)).projects:
        raise ProjectExistsError(f"the project {project_id} exists already")
    await _write(kafka, *project_entry(Project(project_id, name, _now())))


async def update_project(
    kafka: KafkaSettings,
    project_id: str,
    *,
    disabled: bool | None = None,
    items_per_second: float | None = None,
    burst: float | None = None,
) -> None:
    """Change what is given and leave the rest; `items_per_second=0` takes the rate away again."""
    project = _project(await read_directory(kafka), project_id)
    if (items_per_second or 0) < 0 or (burst is not None and burst <= 0):
        raise InvalidProjectError("a rate and a burst are above zero")
    if disabled is not None:
        project = msgspec.structs.replace(project, disabled=disabled)
    if items_per_second is not None:
        project = msgspec.structs.replace(project, items_per_second=items_per_second or None)
    if burst is not None:
        project = msgspec.structs.replace(project, burst=burst)
    await _write(kafka, *project_entry(project))


async def list_projects(kafka: KafkaSettings) -> list[Project]:
    """Return every project, by id."""
    return sorted((await read_directory(kafka)).projects.values(), key=lambda project: project.id)


async def create_token(
    kafka: KafkaSettings,
    project_id: str,
    *,
    expires_at: int | None = None,
    token: str | None = None,
    scope: Scope = "write",
) -> str:
    """Make a token for the project and return it: this is the only time that it can be seen.

    *token* takes an existing one over, a write key that clients already hold for example.
    """
    now = _now()
    directory = await read_directory(kafka)
    _project(directory, project_id)
    if expires_at is not None and expires_at <= now:
        raise InvalidTokenError("the token would have expired already")
    token = token or new_token(project_id)
    if not is_token(token):
        raise InvalidTokenError("a token has 16 to 256 visible ASCII characters")
    if digest(token) in directory.tokens:
        raise TokenExistsError("the token exists already")
    described = describe_token(token, project_id, created_at=now, expires_at=expires_at, scope=scope)
    await _write(kafka, *token_entry(digest(token), described))
    return token


async def rotate_token(kafka: KafkaSettings, token_id: str, *, overlap_seconds: int) -> str:
    """Make a token like the one that `list_tokens` shows as *token_id* and return it.

    The old one goes on for *overlap_seconds*, or up to the end that it had where that comes sooner. The new one has the
    old one's project, scope and lifetime.
    """
    now = _now()
    old_digest, old = _token(await read_directory(kafka), token_id)
    if not old.is_valid(now):
        raise InvalidTokenError(f"the token {token_id} is revoked or expired: make a new one")
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
    """Return the tokens of a project or of all, revoked and expired ones included, oldest first."""
    return [token for token, _ in await list_uses(kafka, project_id)]


async def list_uses(kafka: KafkaSettings, project_id: str | None = None) -> list[tuple[Token, str | None]]:
    """Return what `list_tokens` does, each with the last day of its use, in UTC; None for one never used."""
    directory = await read_directory(kafka)
    if project_id is not None:
        _project(directory, project_id)
    uses = {name: use.day for name, use in directory.uses.items()}
    found = [(token, uses.get(name)) for name, token in directory.tokens.items()]
    chosen = [entry for entry in found if project_id in (None, entry[0].project_id)]
    return sorted(chosen, key=lambda entry: (entry[0].project_id, entry[0].created_at, entry[0].id))


async def revoke_token(kafka: KafkaSettings, token_id: str) -> None:
    """Take back the token that `list_tokens` shows as *token_id*. Revoking it again changes nothing."""
    token_digest, token = _token(await read_directory(kafka), token_id)
    if token.revoked_at is None:
        await _write(kafka, *token_entry(token_digest, msgspec.structs.replace(token, revoked_at=_now())))


async def read_directory(kafka: KafkaSettings) -> Directory:
    """Return every project and token as they are now."""
    try:
        consumer = await open_topic(kafka)
        try:
            return await read_to_end(consumer)
        finally:
            await close_consumer(consumer)
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
    return UnavailableError(f"Kafka at {kafka.bootstrap_servers}: {describe(error)}")


def _project(directory: Directory, project_id: str) -> Project:
    try:
        return directory.projects[project_id]
    except KeyError:
        raise UnknownProjectError(f"there is no project {project_id}") from None


def _token(directory: Directory, token_id: str) -> tuple[str, Token]:
    """Return the digest and what is known of the token with the id."""
    for token_digest, token in directory.tokens.items():
        if token.id == token_id:
            return token_digest, token
    raise UnknownTokenError(f"there is no token {token_id}")


def _now() -> int:
    return time.time_ns() // 1000
