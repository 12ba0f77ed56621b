"""Erased users, for the checks: what an erasure covers, as `projects.v1` says it, and what of it tables still have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from schemas.erasure import user_digest
from schemas.project_table import ProjectTable
from schemas.topics import Topics
from tests.faults.ledger import Cut, SourceOffset
from tests.faults.stack import Stack
from tests.support import logs

PROJECT = "dev"


def cuts(stack: Stack, users: Iterable[str]) -> dict[str, Cut]:
    """Return what all erasures of each of *users* cover together."""
    table = ProjectTable()
    for record in logs.read(stack.kafka, Topics(stack.kafka.topic_prefix).projects):
        table.apply(record.key, record.value)
    key, found = table.projects[PROJECT].hash_key, {}
    for user in users:
        digest = user_digest(key, user)
        of_user = [each for each in table.erasures[PROJECT].values() if digest in each.users]
        found[user] = Cut(
            tuple(map(max, zip(*(each.items for each in of_user), strict=True))),
            tuple(map(max, zip(*(each.rejections for each in of_user), strict=True))),
            max(each.requested_at for each in of_user),
        )
    return found


def rejections(records: Iterable[Any], erased: Mapping[str, Cut]) -> set[SourceOffset]:
    """Return partition and offset of those *records* of `rejected.v1` that erasures cover."""
    if not erased:
        return set()
    return {
        (record.partition, record.offset)
        for record in records
        if (cut := erased.get(_user_of(record.value))) and cut.covers_rejection(record.partition, record.offset)
    }


def old_states(stack: Stack, erased: Mapping[str, Cut]) -> int:
    """Return the number of states of erased users that do not know the erasure."""
    if not erased:
        return 0
    rows = stack.query("SELECT user_id, _erased FROM person_states")
    known = [(erased.get(str(row["user_id"])), int(str(row["_erased"]))) for row in rows]
    return sum(cut is not None and knows < cut.requested_at for cut, knows in known)


def _user_of(value: bytes) -> str:
    return str(orjson.loads(orjson.loads(value).get("content") or "{}").get("userId", ""))
