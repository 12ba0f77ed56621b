"""Projects, tokens and the deployment itself: the records of the compacted topic `projects.v1`.

Each decision of an administrator is a record of its own and holds nothing that was read before. Commands that run at
the same time therefore never undo each other, in any order of their records and whatever compaction removes:

| Key | Record | Of several records |
| --- | --- | --- |
| `project/<project>/<creation>` | Creation of a project | The first counts |
| `disabled/<project>`, `rate/<project>`, `burst/<project>` | One setting of a project | The last counts |
| `item-limit/<project>` | The largest item of a project | The last counts |
| `field-rule/<project>/<path>` | What happens to a private value | The last counts |
| `hash-key/<project>/<creation>` | The secret with which private values and user IDs are hashed | The first counts |
| `retention/<project>` | How long the rows of a project are kept | The last counts |
| `event-retention/<project>/<event>` | The same, for events of one name | The last counts |
| `erasure/<project>/<creation>` | Users are erased | Each of them erases; the last one of a key counts |
| `suppression/<project>/<digest>` | Items of a user are rejected, by `user_digest` | The last counts |
| `token/<digest>/<creation>` | Creation of a token | The first counts |
| `revocation/<digest>` | Revocation of a token | Each of them revokes it |
| `rotation/<digest>/<digest of the successor>` | Rotation of a token | The earliest expiry counts |
| `use/<digest>` | Day of a token's last use | The last counts |
| `deployment/<topic version>` | Number of partitions of every topic of this version | Never written twice |

A digest is the SHA-256 of a token, hex; the token itself is not stored. A creation is a random number, so that
compaction keeps the first record of two commands that create the same. Revoked and expired tokens stay on the topic,
because compaction could remove a tombstone before a disconnected gateway has read it. Times are microseconds since
1970.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from schemas.erasure import Erasure, Suppression
from schemas.field_rules import FieldRule, FieldRuleSetting, HashKey, names_of
from schemas.retention import EventRetention, Retention

Scope = Literal["write", "read", "operate"]
"""What a token permits: sending items (`write`), reading the data of its project (`read`), or reading that of all
projects and the state of the pipeline (`operate`)."""

_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[!-~]{16,256}")
_SECRET_BYTES = 32
_CREATION_BYTES = 8
_HINT_CHARACTERS = 4


class Project(msgspec.Struct, frozen=True):
    """A tenant: the owner of items, persons and tokens. Folded from several records."""

    id: str
    name: str
    created_at: int
    disabled: bool = False
    items_per_second: float | None = None
    """Rate limit of each gateway process; None means unlimited."""
    burst: float | None = None
    """Items that may arrive at once; None means the items of one second."""
    item_bytes: int | None = None
    """Largest item; None means the gateway's own limit, which no project exceeds."""
    field_rules: tuple[FieldRule, ...] = ()
    """What happens to private values, ordered by path."""
    hash_key: bytes = b""
    """Secret with which private values and user IDs are hashed; empty until one is needed."""
    retention_days: int | None = None
    """Days for which rows are kept after receipt; None means without a limit."""
    event_retention: tuple[tuple[str, int], ...] = ()
    """Events that are kept for fewer days, ordered by name."""
    suppressed: AbstractSet[bytes] = frozenset()
    """`user_digest` of users whose items are rejected. Follows the topic, unlike the other fields."""

    def rate(self) -> tuple[float, float] | None:
        """Return items per second and burst, or None without a limit."""
        if self.items_per_second is None:
            return None
        return self.items_per_second, self.burst if self.burst is not None else self.items_per_second


class Token(msgspec.Struct, frozen=True):
    """A token, without its secret. Folded from several records."""

    id: str
    """First 16 hex digits of the token's SHA-256. `sequence token` lists and revokes tokens by it."""
    project_id: str
    """Empty for the scope `operate`: the token belongs to no project."""
    hint: str
    """First characters of the token, for people to recognize it."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    scope: Scope = "write"

    def is_valid(self, now: int) -> bool:
        """Return whether the token is neither revoked nor expired at *now*."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ProjectCreation(msgspec.Struct, frozen=True, rename="camel"):
    """A project is created, enabled and without a rate limit."""

    id: str
    name: str
    created_at: int


class Disabled(msgspec.Struct, frozen=True, rename="camel"):
    """A project is disabled or enabled."""

    disabled: bool


class Rate(msgspec.Struct, frozen=True, rename="camel"):
    """The rate limit of a project is set or, with None, removed."""

    items_per_second: float | None


class Burst(msgspec.Struct, frozen=True, rename="camel"):
    """The burst of a project is set."""

    burst: float


class ItemLimit(msgspec.Struct, frozen=True, rename="camel"):
    """The largest item of a project is set or, with None, left to the gateway."""

    item_bytes: int | None


class TokenCreation(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A token is created. The fields are those of `Token`."""

    id: str
    project_id: str
    hint: str
    created_at: int
    expires_at: int | None = None
    scope: Scope = "write"


class Revocation(msgspec.Struct, frozen=True, rename="camel"):
    """A token is revoked, for good."""

    revoked_at: int


class Rotation(msgspec.Struct, frozen=True, rename="camel"):
    """A token has a successor and expires."""

    expires_at: int


class Use(msgspec.Struct, frozen=True, rename="camel"):
    """The last use of a token."""

    day: str
    """In UTC: `2026-01-31`."""


class Deployment(msgspec.Struct, frozen=True, rename="camel"):
    """What stays the same for the life of a deployment's topics. `sequence topics apply` writes it."""

    partitions: int
    """Of every topic but `projects.v1`. Keys, dedupe entries and source offsets belong to it."""
    added_at: int


Entry: TypeAlias = (
    ProjectCreation | Disabled | Rate | Burst | ItemLimit | FieldRuleSetting | HashKey
    | Retention | EventRetention | Erasure | Suppression
    | TokenCreation | Revocation | Rotation | Use | Deployment
)  # fmt: skip


class DecodedRecord(NamedTuple):
    """A record of the topic."""

    kind: type[Entry]
    subject: str
    """Project ID, digest or topic version."""
    part: str
    """The creation, the digest of the successor or of a user, the path or the event; empty for other kinds."""
    entry: Entry | None
    """None for a tombstone."""


class InvalidEntryError(ValueError):
    """A record of the topic whose key or value has none of the forms above."""


_encode = msgspec.json.Encoder().encode
_KINDS: dict[str, type[Entry]] = {
    "project": ProjectCreation,
    "disabled": Disabled,
    "rate": Rate,
    "burst": Burst,
    "item-limit": ItemLimit,
    "field-rule": FieldRuleSetting,
    "hash-key": HashKey,
    "retention": Retention,
    "event-retention": EventRetention,
    "erasure": Erasure,
    "suppression": Suppression,
    "token": TokenCreation,
    "revocation": Revocation,
    "rotation": Rotation,
    "use": Use,
    "deployment": Deployment,
}
_PREFIXES = {kind: prefix for prefix, kind in _KINDS.items()}
_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in _PREFIXES}
_IN_TWO_PARTS = {
    ProjectCreation,
    TokenCreation,
    Rotation,
    FieldRuleSetting,
    HashKey,
    EventRetention,
    Erasure,
    Suppression,
}


def is_project_id(text: str) -> bool:
    """Return whether *text* is a valid project ID: 1-64 letters, digits, `_` or `-`."""
    return _PROJECT_ID.fullmatch(text) is not None


def is_token(text: str) -> bool:
    """Return whether *text* has the form of a token: 16-256 visible ASCII characters."""
    return _TOKEN.fullmatch(text) is not None


def new_token(project_id: str) -> str:
    """Return a new token: 256 random bits after the prefix `seq_<project>_`, or `seq_operate_` without a project."""
    return f"{_prefix(project_id)}{secrets.token_urlsafe(_SECRET_BYTES)}"


def _prefix(project_id: str) -> str:
    return f"seq_{project_id or 'operate'}_"


def new_creation() -> str:
    """Return the random number of a creation, hex."""
    return secrets.token_hex(_CREATION_BYTES)


def describe_token(
    token: str, project_id: str, *, created_at: int, expires_at: int | None = None, scope: Scope = "write"
) -> TokenCreation:
    """Return the creation of *token*."""
    prefix = _prefix(project_id)
    shown = len(prefix) + _HINT_CHARACTERS if token.startswith(prefix) else _HINT_CHARACTERS
    return TokenCreation(digest(token)[:16], project_id, token[:shown] + "…", created_at, expires_at, scope)


def digest(token: str) -> str:
    """Return the SHA-256 of *token*, hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def encode_entry(entry: Entry, subject: str, part: str = "") -> tuple[bytes, bytes]:
    """Return key and value of the record of *entry*; *part* is that of `DecodedRecord`."""
    name = f"{subject}/{part}" if type(entry) in _IN_TWO_PARTS else subject
    return f"{_PREFIXES[type(entry)]}/{name}".encode(), _encode(entry)


def decode_entry(key: bytes | None, value: bytes | None) -> DecodedRecord:
    """Return the record of *key* and *value*; raises `InvalidEntryError`."""
    prefix, _, name = (key or b"").decode("utf-8", "replace").partition("/")
    subject, _, part = name.partition("/")
    kind = _KINDS.get(prefix)
    if kind is None or not subject or bool(part) != (kind in _IN_TWO_PARTS):
        raise InvalidEntryError(f"the key must be {', '.join(f'`{known}/…`' for known in _KINDS)}")
    try:
        if kind is FieldRuleSetting:
            names_of(part)
        return DecodedRecord(kind, subject, part, None if value is None else _DECODERS[kind].decode(value))
    except ValueError as error:
        raise InvalidEntryError(str(error)) from error
