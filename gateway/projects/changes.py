"""Decides every change of projects and tokens: from the table as it was read to the records to write.

A record holds the decision alone and nothing of the table, so that it undoes no change made after the table was read.
The outcome of two commands that both read before either writes:

| Commands | Outcome |
| --- | --- |
| Create the same project twice, register the same token twice | The first record counts; the other command fails |
| Update different fields of a project | Both hold |
| Update the same field, or set the rule of the same path | The last record counts, for all of one command at once |
| Revoke and revoke, revoke and rotate | The token is revoked, and the successor of the rotation is valid |
| Rotate and rotate | Both successors are valid, and the token expires at the earlier of the two ends |
| Any other pair | They concern different records, and both hold |

Times are microseconds since 1970.
"""

from __future__ import annotations

import math
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import (
    AdminError,
    InvalidProjectError,
    InvalidTokenError,
    ProjectExistsError,
    TokenExistsError,
    UnknownProjectError,
    UnknownTokenError,
)
from schemas.field_rules import FieldRule, FieldRuleSetting, HashKey, names_of
from schemas.project_table import ProjectTable
from schemas.projects import (
    Burst,
    Disabled,
    ItemLimit,
    Project,
    ProjectCreation,
    Rate,
    Revocation,
    Rotation,
    Scope,
    Token,
    TokenCreation,
    describe_token,
    digest,
    encode_entry,
    is_project_id,
    is_token,
    new_creation,
    new_token,
)
from schemas.records import KeyValue
from schemas.retention import CLASSES, EVENT_DAYS_MIN, EventRetention, Retention

_T_co = TypeVar("_T_co", covariant=True)
_NAME_LIMIT_CHARACTERS = 255
_HASH_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Change(Generic[_T_co]):
    """The records to write, together, and what the command returns."""

    records: list[KeyValue]
    result: _T_co
    failure: Callable[[ProjectTable], AdminError | None] | None = None
    """The failure that a table read after the write shows: another command created the same before."""


def create_project(table: ProjectTable, now: int, project_id: str, name: str) -> Change[None]:
    """Create an enabled project without a rate limit."""
    if not is_project_id(project_id):
        raise InvalidProjectError(f"Invalid project ID {project_id!r}: use 1-64 letters, digits, `_` or `-`.")
    if len(name) > _NAME_LIMIT_CHARACTERS:
        raise InvalidProjectError(f"The project name has {len(name)} characters: use at most {_NAME_LIMIT_CHARACTERS}.")
    exists = ProjectExistsError(f"Project {project_id} already exists.")
    if project_id in table.projects:
        raise exists
    creation = new_creation()

    def failure(after: ProjectTable) -> AdminError | None:
        return None if after.creation(ProjectCreation, project_id) == creation else exists

    return Change([encode_entry(ProjectCreation(project_id, name, now), project_id, creation)], None, failure)


def update_project(  # noqa: PLR0913  # the options of the command
    table: ProjectTable,
    project_id: str,
    *,
    disabled: bool | None = None,
    items_per_second: float | None = None,
    burst: float | None = None,
    item_bytes: int | None = None,
    retention: Retention | None = None,
    event_retention: Mapping[str, int | None] | None = None,
) -> Change[None]:
    """Change the given fields of a project. `items_per_second=0` and `item_bytes=0` remove the limit.

    *event_retention* has the days by name of the event; None lets it be kept as long as the others.
    """
    project = project_of(table, project_id)
    # NaN compares as false and infinity has no form in JSON.
    if not (0 <= (items_per_second or 0) < math.inf and (burst is None or 0 < burst < math.inf)):
        raise InvalidProjectError("`items_per_second` and `burst` must be finite numbers greater than zero.")
    if item_bytes is not None and item_bytes < 0:
        raise InvalidProjectError("`item_bytes` must not be negative.")
    of_events = event_retention or {}
    _check_retention(project, retention, of_events)
    entries: list[Disabled | Rate | Burst | ItemLimit | Retention] = []
    if disabled is not None:
        entries.append(Disabled(disabled))
    if items_per_second is not None:
        entries.append(Rate(items_per_second or None))
    if burst is not None:
        entries.append(Burst(burst))
    if item_bytes is not None:
        entries.append(ItemLimit(item_bytes or None))
    if retention is not None:
        entries.append(retention)
    records = [encode_entry(entry, project_id) for entry in entries]
    records += [encode_entry(EventRetention(days), project_id, event) for event, days in of_events.items()]
    return Change(records, None)


def _check_retention(project: Project, retention: Retention | None, of_events: Mapping[str, int | None]) -> None:
    """Raise `InvalidProjectError` for days that a project or an event cannot have."""
    days = project.retention_days if retention is None else retention.days
    if retention is not None and days is not None and days not in CLASSES:
        raise InvalidProjectError(
            f"Rows are kept for {', '.join(map(str, CLASSES))} days or unlimited, not {days} days."
        )
    known = dict(project.event_retention)
    for event, fewer in of_events.items():
        if fewer is None:
            if event not in known:
                raise InvalidProjectError(f"{event} is kept as long as other events of project {project.id} already.")
        elif fewer < EVENT_DAYS_MIN:
            raise InvalidProjectError(
                f"{event} cannot be kept for {fewer} days: use at least {EVENT_DAYS_MIN}. Until then events.v1 has the "
                "items, and a refill would write their rows again."
            )
        elif days is not None and fewer >= days:
            raise InvalidProjectError(
                f"{event} cannot be kept for {fewer} days: project {project.id} keeps its rows for {days}. Use fewer "
                "days, or `=project`."
            )


def change_field_rules(
    table: ProjectTable, project_id: str, rules: Sequence[FieldRule], removed: Sequence[str] = ()
) -> Change[None]:
    """Set *rules*, each in place of the one for its path, and remove those of the paths *removed*."""
    project = project_of(table, project_id)
    paths = [*(rule.path for rule in rules), *removed]
    if repeated := sorted({path for path in paths if paths.count(path) > 1}):
        raise InvalidProjectError(f"There are several rules for {', '.join(repeated)}.")
    known = {rule.path for rule in project.field_rules}
    if unknown := [path for path in removed if path not in known]:
        raise InvalidProjectError(
            f"Project {project_id} has no rule for {', '.join(unknown)}. `sequence project show {project_id}` lists "
            "its rules."
        )
    for rule in rules:
        try:
            names_of(rule.path)
        except ValueError as error:
            raise InvalidProjectError(str(error)) from None
    records = hash_key_record(project) if any(rule.action == "hash" for rule in rules) else []
    records += [encode_entry(FieldRuleSetting(rule.action, rule.length), project_id, rule.path) for rule in rules]
    records += [encode_entry(FieldRuleSetting(None), project_id, path) for path in removed]
    return Change(records, None)


def hash_key_record(project: Project) -> list[KeyValue]:
    """Return the record of a new secret, none if *project* has one. Of two such commands at once, the first counts."""
    if project.hash_key:
        return []
    return [encode_entry(HashKey(secrets.token_bytes(_HASH_KEY_BYTES)), project.id, new_creation())]


def create_token(  # noqa: PLR0913  # the options of the command
    table: ProjectTable, now: int, project_id: str, *, token: str | None, expires_at: int | None, scope: Scope
) -> Change[str]:
    """Create a token for the project, or register the existing secret *token*.

    A token of the scope `operate` belongs to no project: *project_id* is empty.
    """
    if scope != "operate":
        project_of(table, project_id)
    elif project_id:
        raise InvalidTokenError("A token of the scope operate belongs to no project: leave out PROJECT.")
    if expires_at is not None and expires_at <= now:
        raise InvalidTokenError("The expiry of the token is in the past.")
    secret = token or new_token(project_id)
    if not is_token(secret):
        raise InvalidTokenError("Invalid token: use 16-256 visible ASCII characters.")
    exists = TokenExistsError("The token already exists.")
    if digest(secret) in table.tokens:
        raise exists
    creation = new_creation()
    created = describe_token(secret, project_id, created_at=now, expires_at=expires_at, scope=scope)

    def failure(after: ProjectTable) -> AdminError | None:
        return None if after.creation(TokenCreation, digest(secret)) == creation else exists

    # Nobody else creates a token that is random.
    return Change([encode_entry(created, digest(secret), creation)], secret, failure if token else None)


def rotate_token(table: ProjectTable, now: int, token_id: str, *, overlap_seconds: int) -> Change[str]:
    """Create a successor with the same project, scope and lifetime, and let the old token expire after the overlap."""
    old_digest, old = _token(table, token_id)
    if not old.is_valid(now):
        raise InvalidTokenError(
            f"Token {token_id} is revoked or expired. Create a new one with `sequence token create`."
        )
    lifetime = table.lifetime(old_digest)
    token = new_token(old.project_id)
    successor = describe_token(
        token,
        old.project_id,
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        scope=old.scope,
    )
    ends_at = min(now + overlap_seconds * 1_000_000, old.expires_at or sys.maxsize)
    created = encode_entry(successor, digest(token), new_creation())
    return Change([created, encode_entry(Rotation(ends_at), old_digest, digest(token))], token)


def revoke_token(table: ProjectTable, now: int, token_id: str) -> Change[None]:
    """Revoke the token. Revoking it again changes nothing."""
    token_digest, token = _token(table, token_id)
    return Change([] if token.revoked_at is not None else [encode_entry(Revocation(now), token_digest)], None)


def project_of(table: ProjectTable, project_id: str) -> Project:
    """Return the project; raises `UnknownProjectError`."""
    try:
        return table.projects[project_id]
    except KeyError:
        raise UnknownProjectError(
            f"Unknown project {project_id}. `sequence project list` shows every project."
        ) from None


def _token(table: ProjectTable, token_id: str) -> tuple[str, Token]:
    """Return the digest and the token with the ID."""
    for token_digest, token in table.tokens.items():
        if token.id == token_id:
            return token_digest, token
    raise UnknownTokenError(f"Unknown token {token_id}. `sequence token list` shows every token.")
