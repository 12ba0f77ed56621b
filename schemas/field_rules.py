r"""Rules for private data: values that a gateway drops, hashes or truncates before an item is stored anywhere.

A path names a value: `properties.email`, `traits.address.street`, `context.ip`. It goes through arrays, to each of
their elements. A dot in a name is written `\.`, a backslash `\\`. A rule for an object or array is one for every value
in it.
"""

from __future__ import annotations

import hmac
import re
from typing import Literal

import msgspec

Action = Literal["drop", "hash", "truncate"]
"""Remove the value; replace it by an HMAC; keep its first characters."""

OBJECTS = ("properties", "traits", "context", "integrations")
"""Fields whose values rules may name."""
ANONYMOUS_ID = "anonymousId"
"""The other field that a rule may name."""
MAX_PATH_CHARACTERS = 512

_NAME = re.compile(r"(?:[^.\\]|\\[.\\])+")
_PATH = re.compile(rf"{_NAME.pattern}(?:\.{_NAME.pattern})*")
_HASHED = re.compile(r"hmac:[0-9a-f]{64}")
_ESCAPED = re.compile(r"\\([.\\])")


class FieldRule(msgspec.Struct, frozen=True):
    """What happens to the values of one path."""

    path: str
    action: Action
    length: int = 0
    """Characters that `truncate` keeps."""

    def __str__(self) -> str:
        """Return the rule as a person reads it, such as `truncate context.ip to 7 characters`."""
        kept = f" to {self.length} characters" if self.action == "truncate" else ""
        return f"{self.action} {self.path}{kept}"


class FieldRuleSetting(msgspec.Struct, frozen=True, rename="camel"):
    """The rule of a path is set or, with None, removed."""

    action: Action | None
    length: int = 0


class HashKey(msgspec.Struct, frozen=True, rename="camel"):
    """The secret with which private values and user IDs of a project are hashed."""

    key: bytes
    """In JSON, base64."""


def names_of(path: str) -> tuple[str, ...]:
    """Return the names of *path*, the field first; raise `ValueError`, whose message names what is allowed."""
    if _PATH.fullmatch(path) is None:
        raise ValueError(f"Invalid path {path!r}: write names with dots between them, such as `properties.email`.")
    if len(path) > MAX_PATH_CHARACTERS:
        raise ValueError(f"The path has {len(path)} characters; the limit is {MAX_PATH_CHARACTERS}.")
    names = [_ESCAPED.sub(r"\1", name) for name in _NAME.findall(path)]
    if names[0] not in OBJECTS and names != [ANONYMOUS_ID]:
        fields = ", ".join(f"`{name}`" for name in OBJECTS)
        raise ValueError(f"Invalid path {path!r}: it must begin with {fields}, or be `{ANONYMOUS_ID}`.")
    return tuple(names)


def hashed(key: bytes, text: str) -> str:
    """Return what `hash` stores for *text*: `hmac:` and the HMAC-SHA-256 with *key*, hex.

    A text of that form stays as it is, so that an item that is replayed has the value of its first time.
    """
    if _HASHED.fullmatch(text) is not None:
        return text
    return f"hmac:{hmac.digest(key, text.encode('utf-8', 'surrogatepass'), 'sha256').hex()}"
