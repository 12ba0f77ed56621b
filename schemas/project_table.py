"""The projects and tokens of the compacted topic `projects.v1`, in memory."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple, TypeVar

from schemas.erasure import Erasure, Suppression
from schemas.field_rules import FieldRule, FieldRuleSetting, HashKey
from schemas.projects import (
    Burst,
    Deployment,
    Disabled,
    Entry,
    InvalidEntryError,
    ItemLimit,
    Project,
    ProjectCreation,
    Rate,
    Revocation,
    Rotation,
    Scope,
    Token,
    TokenCreation,
    Use,
    decode_entry,
    digest,
)
from schemas.retention import EventRetention, Retention

_T = TypeVar("_T", bound=Entry)


class Grant(NamedTuple):
    """What a valid token permits."""

    project: Project
    token_id: str


class ProjectTable:
    """Every project and token up to the last record applied, and the tokens that this process has seen in use.

    A table of the compacted topic equals one that has applied every record: of a key the last record counts, and of
    several keys the place of those last records.
    """

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        """By ID."""
        self.tokens: dict[str, Token] = {}
        """By digest."""
        self.uses: dict[str, Use] = {}
        """The recorded last use of each token, by its digest."""
        self.deployments: dict[str, Deployment] = {}
        """By topic version."""
        self.erasures: dict[str, dict[str, Erasure]] = {}
        """By project, then by creation."""
        self._suppressed: defaultdict[str, set[bytes]] = defaultdict(set)
        """By project, `user_digest` of the users."""
        self._entries: dict[tuple[type[Any], str], dict[str, Any]] = {}
        """By kind and subject, then by part in the order of the topic."""
        self._seen: set[str] = set()

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply one record or tombstone; `InvalidEntryError` leaves the table unchanged."""
        kind, subject, part, entry = decode_entry(key, value)
        if kind is Suppression:
            # Many, so they are not folded with the project.
            self._suppress(subject, part, entry)
            return
        of_subject = self._entries.setdefault((kind, subject), {})
        of_subject.pop(part, None)
        if entry is not None:
            of_subject[part] = entry
        if kind is Use:
            _put(self.uses, subject, self._last(Use, subject))
        elif kind is Deployment:
            _put(self.deployments, subject, self._last(Deployment, subject))
        elif kind is Erasure:
            self.erasures[subject] = {name: each for name, each in of_subject.items() if isinstance(each, Erasure)}
        elif kind in (TokenCreation, Revocation, Rotation):
            _put(self.tokens, subject, self._fold_token(subject))
        else:
            _put(self.projects, subject, self._fold_project(subject))

    def creation(self, kind: type[ProjectCreation | TokenCreation], subject: str) -> str | None:
        """Return the creation that counts for a project ID or digest; None for an unknown one."""
        return next(iter(self._entries.get((kind, subject), ())), None)

    def lifetime(self, token_digest: str) -> int | None:
        """Return the time from creation to expiry that a token was created with; None without an expiry."""
        created = next(iter(self._all(TokenCreation, token_digest)), None)
        return None if created is None or created.expires_at is None else created.expires_at - created.created_at

    def find_and_record_use(self, token: str, now: int, scope: Scope = "write") -> Grant | None:
        """Return what *token* permits for *scope* at *now*, and record the token as used.

        Returns None for a token that is unknown, revoked, expired or of another scope. The lookup is by SHA-256, so its
        duration reveals nothing about existing tokens.
        """
        token_digest = digest(token)
        known = self.tokens.get(token_digest)
        if known is None or known.scope != scope or not known.is_valid(now):
            return None
        self._seen.add(token_digest)
        project = self.projects.get(known.project_id)
        return None if project is None else Grant(project, known.id)

    def find(self, token_digest: str, now: int) -> Token | None:
        """Return the token with the digest, of any scope; None if it is unknown, revoked or expired at *now*."""
        known = self.tokens.get(token_digest)
        return known if known is not None and known.is_valid(now) else None

    def pop_unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens used since the last call whose use on *day* is not in the table."""
        seen, self._seen = self._seen, set()
        return [name for name in seen if name not in self.uses or self.uses[name].day < day]

    def _fold_project(self, subject: str) -> Project | None:
        created = next(iter(self._all(ProjectCreation, subject)), None)
        if created is None:
            return None
        disabled, rate, burst = (self._last(Disabled, subject), self._last(Rate, subject), self._last(Burst, subject))
        limit, key = self._last(ItemLimit, subject), self._last(HashKey, subject)
        rules = self._entries.get((FieldRuleSetting, subject), {})
        retention, of_events = self._last(Retention, subject), self._entries.get((EventRetention, subject), {})
        return Project(
            created.id,
            created.name,
            created.created_at,
            disabled=disabled is not None and disabled.disabled,
            items_per_second=None if rate is None else rate.items_per_second,
            burst=None if burst is None else burst.burst,
            item_bytes=None if limit is None else limit.item_bytes,
            field_rules=tuple(
                FieldRule(path, rule.action, rule.length) for path, rule in sorted(rules.items()) if rule.action
            ),
            hash_key=b"" if key is None else key.key,
            retention_days=None if retention is None else retention.days,
            event_retention=tuple((event, kept.days) for event, kept in sorted(of_events.items()) if kept.days),
            suppressed=self._suppressed[subject],
        )

    def _suppress(self, subject: str, digest_hex: str, entry: Entry | None) -> None:
        try:
            user = bytes.fromhex(digest_hex)
        except ValueError as error:
            raise InvalidEntryError("the key of a suppression must end with a digest in hexadecimal digits") from error
        if isinstance(entry, Suppression) and entry.suppressed:
            self._suppressed[subject].add(user)
        else:
            self._suppressed[subject].discard(user)

    def _fold_token(self, subject: str) -> Token | None:
        created = next(iter(self._all(TokenCreation, subject)), None)
        if created is None:
            return None
        own = [] if created.expires_at is None else [created.expires_at]
        expiries = own + [rotation.expires_at for rotation in self._all(Rotation, subject)]
        revocation = self._last(Revocation, subject)
        return Token(
            created.id,
            created.project_id,
            created.hint,
            created.created_at,
            expires_at=min(expiries, default=None),
            revoked_at=None if revocation is None else revocation.revoked_at,
            scope=created.scope,
        )

    def _all(self, kind: type[_T], subject: str) -> list[_T]:
        return list(self._entries.get((kind, subject), {}).values())

    def _last(self, kind: type[_T], subject: str) -> _T | None:
        """Return the entry of a kind whose keys have one part, of which the table keeps the last, or else the first."""
        return next(iter(self._all(kind, subject)), None)


_V = TypeVar("_V")


def _put(folded: dict[str, _V], name: str, value: _V | None) -> None:
    if value is None:
        folded.pop(name, None)
    else:
        folded[name] = value
