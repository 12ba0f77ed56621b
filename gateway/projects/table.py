"""The projects and tokens of the compacted topic `projects.v1`, in memory."""

from __future__ import annotations

from typing import TypeVar

from schemas.projects import Project, Scope, Token, Use, decode_entry, digest

_T = TypeVar("_T")


class ProjectTable:
    """Every project and token up to the last record applied, and the tokens that this process has seen in use."""

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        """By ID."""
        self.tokens: dict[str, Token] = {}
        """By digest."""
        self.uses: dict[str, Use] = {}
        """The recorded last use of each token, by its digest."""
        self._seen: set[str] = set()

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply one record or tombstone; `InvalidEntryError` leaves the table unchanged."""
        kind, name, entry = decode_entry(key, value)
        if kind == "project":
            _put(self.projects, name, entry, Project)
        elif kind == "token":
            _put(self.tokens, name, entry, Token)
        else:
            _put(self.uses, name, entry, Use)

    def find_and_record_use(self, token: str, now: int, scope: Scope = "write") -> Project | None:
        """Return the project that *token* authorizes for *scope* at *now*, and record the token as used.

        Returns None for a token that is unknown, revoked, expired or of another scope. The lookup is by SHA-256, so its
        duration reveals nothing about existing tokens.
        """
        token_digest = digest(token)
        known = self.tokens.get(token_digest)
        if known is None or known.scope != scope or not known.is_valid(now):
            return None
        self._seen.add(token_digest)
        return self.projects.get(known.project_id)

    def pop_unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens used since the last call whose use on *day* is not in the table."""
        seen, self._seen = self._seen, set()
        return [name for name in seen if name not in self.uses or self.uses[name].day < day]


def _put(entries: dict[str, _T], name: str, entry: object, kind: type[_T]) -> None:
    if isinstance(entry, kind):
        entries[name] = entry
    else:
        entries.pop(name, None)
