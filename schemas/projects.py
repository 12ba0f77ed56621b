"""Projects and tokens: the records of the compacted topic `projects.v1`.

Keys are `project/<id>`, `token/<SHA-256 of the token, hex>` and `use/<SHA-256 of the token, hex>`. The token itself is
not stored. Revoked and expired tokens stay on the topic, because compaction could remove a tombstone before a
disconnected gateway has read it. The day of a token's last use has a record of its own, so that a gateway never
overwrites a change of the token. Times are microseconds since 1970.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal

import msgspec

Scope = Literal["write", "read"]
"""What a token permits: sending items (`write`) or reading stored data (`read`)."""
EntryKind = Literal["project", "token", "use"]
"""The part of a key before `/`."""

_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[!-~]{16,256}")
_SECRET_BYTES = 32
_HINT_CHARACTERS = 4


class Project(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A tenant: the owner of items, persons and tokens."""

    id: str
    name: str
    created_at: int
    disabled: bool = False
    items_per_second: float | None = None
    """Rate limit of each gateway process; None means unlimited."""
    burst: float | None = None
    """Items that may arrive at once; None means the items of one second."""

    def rate(self) -> tuple[float, float] | None:
        """Return items per second and burst, or None without a limit."""
        if self.items_per_second is None:
            return None
        return self.items_per_second, self.burst if self.burst is not None else self.items_per_second


class Token(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A token, without its secret."""

    id: str
    """First 16 hex digits of the token's SHA-256. `sequence token` lists and revokes tokens by it."""
    project_id: str
    hint: str
    """First characters of the token, for people to recognize it."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    scope: Scope = "write"

    def is_valid(self, now: int) -> bool:
        """Return whether the token is neither revoked nor expired at *now*."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Use(msgspec.Struct, frozen=True, rename="camel"):
    """The last use of a token."""

    day: str
    """In UTC: `2026-01-31`."""


class InvalidEntryError(ValueError):
    """A record of the topic that is neither a project, a token nor a use."""


_encode = msgspec.json.Encoder().encode
_decoders: dict[EntryKind, msgspec.json.Decoder[Project] | msgspec.json.Decoder[Token] | msgspec.json.Decoder[Use]] = {
    "project": msgspec.json.Decoder(Project),
    "token": msgspec.json.Decoder(Token),
    "use": msgspec.json.Decoder(Use),
}


def is_project_id(text: str) -> bool:
    """Return whether *text* is a valid project ID: 1-64 letters, digits, `_` or `-`."""
    return _PROJECT_ID.fullmatch(text) is not None


def is_token(text: str) -> bool:
    """Return whether *text* has the form of a token: 16-256 visible ASCII characters."""
    return _TOKEN.fullmatch(text) is not None


def new_token(project_id: str) -> str:
    """Return a new token: 256 random bits after the prefix `seq_<project>_`."""
    return f"seq_{project_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def describe_token(
    token: str, project_id: str, *, created_at: int, expires_at: int | None = None, scope: Scope = "write"
) -> Token:
    """Return the record of *token*."""
    prefix = f"seq_{project_id}_"
    shown = len(prefix) + _HINT_CHARACTERS if token.startswith(prefix) else _HINT_CHARACTERS
    return Token(digest(token)[:16], project_id, token[:shown] + "…", created_at, expires_at, scope=scope)


def digest(token: str) -> str:
    """Return the SHA-256 of *token*, hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def project_entry(project: Project) -> tuple[bytes, bytes]:
    """Return key and value of *project* on the topic."""
    return f"project/{project.id}".encode(), _encode(project)


def token_entry(token_digest: str, token: Token) -> tuple[bytes, bytes]:
    """Return key and value of *token* on the topic."""
    return f"token/{token_digest}".encode(), _encode(token)


def use_entry(token_digest: str, day: str) -> tuple[bytes, bytes]:
    """Return key and value of the use of a token on *day*."""
    return f"use/{token_digest}".encode(), _encode(Use(day))


def decode_entry(key: bytes | None, value: bytes | None) -> tuple[EntryKind, str, Project | Token | Use | None]:
    """Return kind, name and entry of a record; the entry of a tombstone is None. Raises `InvalidEntryError`."""
    prefix, _, name = (key or b"").decode("utf-8", "replace").partition("/")
    kind = next((known for known in _decoders if known == prefix), None)
    if kind is None or not name:
        raise InvalidEntryError("the key is not `project/…`, `token/…` or `use/…`")
    try:
        return kind, name, _decoders[kind].decode(value) if value is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEntryError(str(error)) from error
