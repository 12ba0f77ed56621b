"""The SQL of an erasure: which rows of each table it covers. Pure.

A statement has digests and the project's secret, and no user ID. What ClickHouse writes to its disk, the command of a
mutation, has neither: it names the erasure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, PERSONS, REJECTED, Table
from schemas.clickhouse.quoting import literal
from schemas.erasure import Erasure, digest_sql
from schemas.user_ids import user_ids_sql

USERS_AT_ONCE = 1_000
"""Users of one statement."""
KEY = "_log, _partition, _origin"
"""Columns that identify a row within its table."""
_CONTENT = "if(is_base64, tryBase64Decode(content), content)"
_TIME_IN = "ifNull(parseDateTime64BestEffortOrNull(JSONExtractString({}, 'timestamp'), 6, 'UTC'), received_at)"
_TIMES = {
    EVENTS.name: "timestamp",
    IDENTIFIES.name: "timestamp",
    DUPLICATES.name: _TIME_IN.format("content"),
    REJECTED.name: _TIME_IN.format(_CONTENT),
}
"""By table, when it happened. An item that was rejected has a time only if it can be read."""


def batches(users: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield *users* in parts of `USERS_AT_ONCE`."""
    for start in range(0, len(users), USERS_AT_ONCE):
        yield users[start : start + USERS_AT_ONCE]


def covered(table: Table, project_id: str, erasure: Erasure, hash_key: bytes, users: Iterable[bytes]) -> str:
    """Return the condition of the rows of *table* that *erasure* covers, of those *users* whose digests are given."""
    digests = ", ".join(f"unhex('{user.hex()}')" for user in users)
    of_users = f"{digest_sql(hash_key, 'user_id')} IN ({digests})"
    in_project = f"project_id = {literal(project_id)}"
    if table is PERSONS:
        return " AND ".join([in_project, of_users, *_of_persons(f"{in_project} AND {of_users}", erasure)])
    if table is REJECTED:
        named = f"{digest_sql(hash_key, 'u')} IN ({digests})"
        of_users = f"({of_users} OR arrayExists(u -> {named}, {user_ids_sql(_CONTENT)}))"
        # A worker may reject an item that is covered after the erasure was requested.
        before = (
            f"({_is_before('_partition', '_origin', erasure.rejections)} OR source_topic = {literal(EVENTS.source)}"
            f" AND {_is_before('source_partition', 'source_offset', erasure.items)})"
        )
    else:
        before = _is_before("_partition", "_origin", erasure.items)
    in_log = f"(_log < {erasure.log} OR _log = {erasure.log} AND {before})"
    return " AND ".join([in_project, in_log, of_users, *_in_range(_TIMES[table.name], erasure)])


def _is_before(partition: str, offset: str, ends: Sequence[int]) -> str:
    # A partition beyond the array has the end 0.
    return f"{offset} < [{', '.join(f'toUInt64({end})' for end in ends)}][{partition} + 1]" if ends else "0"


def _in_range(time: str, erasure: Erasure) -> Iterator[str]:
    for end, is_in in ((erasure.since, ">="), (erasure.until, "<")):
        if end is not None:
            yield f"{time} {is_in} fromUnixTimestamp64Micro(toInt64({end}), 'UTC')"


def _of_persons(of_users: str, erasure: Erasure) -> Iterator[str]:
    yield f"_log <= {erasure.log}"
    yield f"_erased < {erasure.requested_at}"
    if not erasure.is_complete:
        # The newest state stays until the persons stage has written it without what is erased.
        newest = f"SELECT user_id, max((_log, _origin)) FROM person_states WHERE {of_users} GROUP BY user_id"  # noqa: S608  # our own names
        yield f"(user_id, (_log, _origin)) NOT IN ({newest})"


def mark(table: Table, project_id: str, erasure_id: str, condition: str) -> str:
    """Return the INSERT that lists the rows of *condition* in `_removed`."""
    return (
        f"INSERT INTO _removed (table_name, {KEY}, project_id, erasure, removed_at)"  # noqa: S608  # our own names
        f" SELECT '{table.name}', {KEY}, {literal(project_id)}, {literal(erasure_id)}, now64(3) FROM {table.name}"
        f" WHERE {condition}"
    )


def marked(table: Table, erasure_id: str) -> str:
    """Return the SELECT of the rows of *table* that the erasure has listed."""
    return f"SELECT {KEY} FROM _removed WHERE table_name = '{table.name}' AND erasure = {literal(erasure_id)}"  # noqa: S608  # our own names


def delete(table: Table, project_id: str, erasure_id: str) -> str:
    """Return the lightweight DELETE of the rows that `mark` has listed."""
    return (
        f"DELETE FROM {table.name} WHERE project_id = {literal(project_id)}"  # noqa: S608  # our own names
        f" AND ({KEY}) IN ({marked(table, erasure_id)})"
    )
