"""Projects and their tokens, as records on the compacted topic `projects.v1`.

Keys are `project/<id>`, `token/<SHA-256 of the token, hex>` and `use/<the same>`. A token itself is stored nowhere.
Revoked and expired tokens stay on the topic: a tombstone could be compacted away before a gateway that was cut off has
seen it. The day of a token's last use is a record of its own, so that no gateway writes over what was decided of it.
Times are microseconds since 1970.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal, TypeVar

import msgspec

_T = TypeVar("_T")

Scope = Literal["write", "read"]
"""What a token is for: to send items, or to look at what came."""

_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[!-~]{16,256}")
_SECRET_BYTES = 32
_HINT_CHARACTERS = 4


class Project(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Whom items belong to."""

    id: str
    name: str
    created_at: int
    disabled: bool = False
    items_per_second: float | None = None
    """The rate that each gateway allows; None is no limit."""
    burst: float | None = None
    """Items that may come at once; None is one second's worth."""

    def rate(self) -> tuple[float, float] | None:
        """Return items per second and burst, None where there is no limit."""
        if self.items_per_second is None:
            return None
        return self.items_per_second, self.burst if self.burst is not None else self.items_per_second


class Token(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is known of a token."""

    id: str
    """The first 16 digits of its SHA-256: the name by which it is listed and revoked."""
    project_id: str
    hint: str
    """How it begins, to recognise it by."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    scope: Scope = "write"

    def is_valid(self, now: int) -> bool:
        """Return whether it opens its project at *now*."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Use(msgspec.Struct, frozen=True, rename="camel"):
    """That a token was used."""

    day: str
    """The last day of it that is known, in UTC: `2026-01-31`."""


class InvalidEntryError(ValueError):
    """A record is not one of a project or a token."""


_encode = msgspec.json.Encoder().encode
_project_decoder = msgspec.json.Decoder(Project)
_token_decoder = msgspec.json.Decoder(Token)
_use_decoder = msgspec.json.Decoder(Use)


def is_project_id(text: str) -> bool:
    """Return whether *text* may be a project's id: 1 to 64 letters, digits, `_` and `-`."""
    return _PROJECT_ID.fullmatch(text) is not None


def is_token(text: str) -> bool:
    """Return whether *text* may be a token: 16 to 256 visible ASCII characters."""
    return _TOKEN.fullmatch(text) is not None


def new_token(project_id: str) -> str:
    """Return a new token: 256 random bits after a prefix that says what it is and whose."""
    return f"seq_{project_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def describe_token(
    token: str, project_id: str, *, created_at: int, expires_at: int | None = None, scope: Scope = "write"
) -> Token:
    """Return what is kept of *token*."""
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


class Directory:
    """Every project and token that the topic holds, up to the last record applied, and the tokens that were used."""

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        self.tokens: dict[str, Token] = {}
        """By digest."""
        self.uses: dict[str, Use] = {}
        """By digest, too."""
        self._found: set[str] = set()

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take in one record, a tombstone included; `InvalidEntryError` leaves everything as it was."""
        kind, _, name = (key or b"").decode("utf-8", "replace").partition("/")
        if kind not in {"project", "token", "use"} or not name:
            raise InvalidEntryError("the key is neither a project's nor a token's")
        try:
            if kind == "project":
                _put(self.projects, name, _project_decoder.decode(value) if value is not None else None)
            elif kind == "token":
                _put(self.tokens, name, _token_decoder.decode(value) if value is not None else None)
            else:
                _put(self.uses, name, _use_decoder.decode(value) if value is not None else None)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidEntryError(str(error)) from error

    def find(self, token: str, now: int, scope: Scope = "write") -> Project | None:
        """Return the project that *token* opens for *scope* at *now*.

        None for a token that is unknown, revoked, expired or for something else. The look-up is by SHA-256, so its time
        tells nothing about tokens that exist.
        """
        token_digest = digest(token)
        known = self.tokens.get(token_digest)
        if known is None or known.scope != scope or not known.is_valid(now):
            return None
        self._found.add(token_digest)
        return self.projects.get(known.project_id)

    def unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests that were found since this was asked last and have no record of *day* yet."""
        found, self._found = self._found, set()
        return [name for name in found if name not in self.uses or self.uses[name].day < day]


def _put(entries: dict[str, _T], name: str, entry: _T | None) -> None:
    if entry is None:
        entries.pop(name, None)
    else:
        entries[name] = entry
