"""Decides the records of erasures and suppressions, from the table as it was read. Times are microseconds since 1970.

An erasure is written twice: before its record for the persons stage is written, and after, with `identifies`. One that
was interrupted in between is finished by the next one of its users.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from gateway.projects.changes import Change, hash_key_record, project_of
from schemas.erasure import Erasure, Suppression
from schemas.project_table import ProjectTable
from schemas.projects import encode_entry
from schemas.records import KeyValue

_NAME_DIGITS = 16


def create_hash_key(table: ProjectTable, project_id: str) -> Change[None]:
    """Create the secret with which user IDs are hashed, unless the project has one."""
    return Change(hash_key_record(project_of(table, project_id)), None)


def suppress(table: ProjectTable, project_id: str, users: Sequence[bytes], *, suppressed: bool) -> Change[int]:
    """Reject the items of *users*, given by `user_digest`, or accept them again; the result is how many change."""
    known = project_of(table, project_id).suppressed
    changed = [user for user in users if (user in known) != suppressed]
    records = [encode_entry(Suppression(suppressed=suppressed), project_id, user.hex()) for user in changed]
    return Change(records, len(changed))


def name_of(project_id: str, erasure: Erasure, number: int) -> str:
    """Return the name of the erasure with this *number* among those of the same users and range."""
    said = msgspec.json.encode((project_id, sorted(erasure.users), erasure.since, erasure.until, number))
    return hashlib.sha256(said).hexdigest()[:_NAME_DIGITS]


def begin(table: ProjectTable, project_id: str, erasure: Erasure) -> tuple[str, Erasure, dict[str, Erasure]]:
    """Return the name of *erasure*, the erasure as it is to be written, and earlier ones that were interrupted.

    Those have no other users: they are finished with this one.
    """
    known, users = table.erasures.get(project_id, {}), set(erasure.users)
    interrupted = {name: each for name, each in known.items() if not each.identifies and users.issuperset(each.users)}
    number = 0
    while (name := name_of(project_id, erasure, number)) in known:
        number += 1
    # Of the erasures of a user, the latest one must be the newest, whatever the clock.
    newest = max((each.requested_at for each in known.values()), default=0)
    return name, msgspec.structs.replace(erasure, requested_at=max(erasure.requested_at, newest + 1)), interrupted


def written(project_id: str, erasures: dict[str, Erasure]) -> list[KeyValue]:
    """Return the records of *erasures*, by name."""
    return [encode_entry(erasure, project_id, name) for name, erasure in erasures.items()]
