"""Counts what an erasure would remove, and what stays for a while: nothing is changed."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from deploy.operate import logs, offsets
from deploy.operate.erase import Request, micros
from deploy.operate.events_log import batches
from deploy.operate.offsets import Input
from deploy.operate.servers import Servers
from processors.erasures import statements
from schemas.clickhouse import PERSONS, TABLES
from schemas.erasure import Erasure, user_digest
from schemas.records import INVALID_ITEM
from schemas.settings import KafkaSettings
from schemas.times import parse_time
from schemas.topics import Topics, without_prefix
from schemas.user_ids import user_ids_in

_KEY = secrets.token_bytes(32)
"""A preview creates no secret for the project: its digests are compared within its own statements alone."""
_ALL = 2**63 - 1
_STATEMENT_SECONDS = 600.0


class _Item(msgspec.Struct, rename="camel"):
    user_id: str = ""
    timestamp: str = ""


class _Rejection(msgspec.Struct, rename="camel"):
    content: str | None = None


_item = msgspec.json.Decoder(_Item).decode
_rejection = msgspec.json.Decoder(_Rejection).decode


@dataclass(slots=True)
class Preview:
    """What was found."""

    counts: list[dict[str, Any]] = field(default_factory=list)
    """Tables and topics (`in`), with the number of rows or records (`found`)."""
    notes: list[str] = field(default_factory=list)
    """What stays for a while, for people."""


def preview(servers: Servers, request: Request, *, with_topics: bool) -> Preview:
    """Count the rows of each table and the records of each topic that belong to the users of *request*."""
    found = Preview()
    everything = (_ALL,) * servers.ask_kafka(logs.identity).partitions
    erasure = Erasure(
        time.time_ns() // 1000,
        tuple(user_digest(_KEY, user) for user in request.users),
        "",
        logs.current(servers),
        everything,
        everything,
        micros(request.since),
        micros(request.until),
    )
    persons = 0
    with servers.tables(answer_seconds=_STATEMENT_SECONDS) as clickhouse:
        for table in TABLES:
            rows = 0
            for users in statements.batches(erasure.users):
                condition = statements.covered(table, request.project_id, erasure, _KEY, users)
                counted = "count() AS found, uniqExact(user_id) AS users"
                counting = f"SELECT {counted} FROM {table.name} WHERE {condition}"  # noqa: S608  # our own names
                [row] = clickhouse.query(f"{counting} SETTINGS log_queries = 0")
                rows += int(row["found"])
                persons += int(row["users"]) if table is PERSONS else 0
            found.counts.append({"in": f"table {table.name}", "found": rows})
    found.notes.append(f"Users that have a person: {persons:,} of {len(request.users):,}.")
    if with_topics:
        search = _Search(request, erasure)
        servers.ask_kafka(search.read)
        found.counts += [{"in": f"topic {topic}", "found": count} for topic, count in search.found.items()]
        found.notes += search.notes()
    return found


class _Search:
    """Reads every topic to its end."""

    def __init__(self, request: Request, erasure: Erasure) -> None:
        self._prefix = f"{request.project_id}/".encode()
        self._users = set(request.users)
        self._erasure = erasure
        self.found: Counter[str] = Counter()
        self._in_message_ids = 0
        self._newest_ms = 0

    async def read(self, kafka: KafkaSettings) -> None:
        """Count the records of the users."""
        topics = Topics(kafka.topic_prefix)
        names = (topics.items, topics.events, topics.duplicates, topics.identifies, topics.persons, topics.rejected)
        about = await offsets.group(kafka, f"{topics.prefix}-erase", names)
        for read in about.inputs.values():
            name = without_prefix(read.topic)
            self.found[name] += await self._read(kafka, read, name)

    def notes(self) -> list[str]:
        """Return what stays until the dedupe window ends."""
        if not self._in_message_ids:
            return []
        newest = f"{datetime.fromtimestamp(self._newest_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        found = f"Message IDs that contain a user ID: {self._in_message_ids:,}, the newest of {newest}."
        return [f"{found} Dedupe keeps each for its window, SEQUENCE_DEDUPE_WINDOW_DAYS."]

    async def _read(self, kafka: KafkaSettings, read: Input, name: str) -> int:
        count = 0
        async for records in batches(kafka, read, read.log_start, read.log_end):
            for record in records:
                if not (record.key or b"").startswith(self._prefix) or not self._is_theirs(record, name):
                    continue
                count += 1
                message_id = record.key.removeprefix(self._prefix).decode("utf-8", "replace")
                if name == "items.v1" and any(user in message_id for user in self._users):
                    self._in_message_ids += 1
                    self._newest_ms = max(self._newest_ms, record.timestamp)
        return count

    def _is_theirs(self, record: Any, name: str) -> bool:
        try:
            if name == "persons.v1":
                return record.key.removeprefix(self._prefix).decode("utf-8", "replace") in self._users
            if name == "rejected.v1":
                content = _rejection(record.value or b"").content or ""
                return not self._users.isdisjoint(user_ids_in(content.encode()))
            item = _item(record.value or b"")
            if item.user_id not in self._users:
                return False
            return not item.timestamp or self._erasure.covers_time(parse_time(item.timestamp))
        except (*INVALID_ITEM, ValueError):
            return False
