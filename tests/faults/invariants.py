"""The promise, as checks over what is really there: topics and tables against the ledger.

What `items.v1` holds decides what has to come of it (`reference`); what the ledger holds decides what has to be there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from schemas.items import Item, Track
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import DAY_MS, Topics
from tests.faults import reference
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack
from tests.support import logs
from tests.support.services import eventually

GROUPS = {"dedupe": ("items",), "persons": ("identifies",), "sink": ("events", "persons")}
WINDOW_MS = 7 * DAY_MS
"""The dedupe window, as it is unless it is set."""
COUNTS = ("items", "events", "identifies", "persons", "unknown")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted; all but `COUNTS` are faults and must be zero."""

    items: int
    events: int
    identifies: int
    persons: int
    unknown: int
    """MessageIds of which the client was never told what came of them."""
    lost: int
    """MessageIds that were acknowledged, or have an item that counts, and are not in ClickHouse."""
    doubled: int
    """Rows beyond those that count, without FINAL and with merges stopped."""
    doubled_origins: int
    """Rows beyond one for a position."""
    foreign: int
    """Rows that the client never sent."""
    changed: int
    """Rows whose position and content are not those of an item that counts."""
    refused_visible: int
    refused_lost: int
    """Refused, and not in `rejected.v1`."""
    unaccounted: int
    """MessageIds on `items.v1` that are neither a row nor rejected."""
    wrong_persons: int

    @property
    def faults(self) -> dict[str, int]:
        """The figures that must be zero."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in COUNTS}


def wait_until_idle(stack: Stack, *, within_seconds: float = 120.0) -> None:
    """Return when every group has committed all there is and nothing more comes."""
    topics = Topics(stack.kafka.topic_prefix)
    looks: list[tuple[int, int]] = []

    def idle() -> bool:
        looks.append(_lag(stack.kafka, topics))
        # Ends are read before the commits: what is written in between shows at the second look.
        return len(looks) > 1 and looks[-1] == looks[-2] and looks[-1][0] == 0

    eventually(idle, "no lag is left", within_seconds=within_seconds, every_seconds=1.0)


def check(stack: Stack, ledger: Ledger) -> Figures:
    """Return the figures of what is there now."""
    topics = Topics(stack.kafka.topic_prefix)
    due = reference.counted(logs.read(stack.kafka, topics.items), WINDOW_MS)
    due_ids = {item.message_id for item in due.values()}
    rows = [*_rows(stack, "events", "event, properties"), *_rows(stack, "identifies", "'' AS event, traits")]
    seen = {str(row["message_id"]) for row in rows}
    origins = [(_number(row["_partition"]), _number(row["_origin"])) for row in rows]
    rejected = {_rejected_id(record.value) for record in logs.read(stack.kafka, topics.rejected)}
    refused = ledger.ids("refused")
    there = set(origins)
    lost = {item.message_id for origin, item in due.items() if origin not in there} | (
        ledger.ids("acknowledged") - seen
    )
    return Figures(
        items=ledger.sent,
        events=sum(row["kind"] == "events" for row in rows),
        identifies=sum(row["kind"] == "identifies" for row in rows),
        persons=len(stack.query("SELECT user_id FROM persons")),
        unknown=len(ledger.ids("unknown")),
        lost=len(lost),
        # Past its window a messageId counts again, so the items that count may be more than the messageIds.
        doubled=len(rows) - len(seen) - (len(due) - len(due_ids)),
        doubled_origins=len(rows) - len(there),
        foreign=len(seen - ledger.entries.keys()),
        changed=sum(_differs(row, due.get(origin)) for row, origin in zip(rows, origins, strict=True)),
        refused_visible=len(refused & seen),
        refused_lost=len(refused - rejected),
        unaccounted=len(due_ids - seen - rejected),
        wrong_persons=_wrong_persons(stack, due),
    )


def _rows(stack: Stack, table: str, content: str) -> list[dict[str, object]]:
    columns = f"'{table}' AS kind, message_id, user_id, {content} AS content, _partition, _origin"
    return stack.query(f"SELECT {columns} FROM {table}")  # noqa: S608  # our own tables


def _differs(row: dict[str, object], item: Item | None) -> bool:
    if item is None:
        return True
    content = item.properties if isinstance(item, Track) else item.traits
    event = item.event if isinstance(item, Track) else ""
    expected = {name: value for name, value in orjson.loads(bytes(content)).items() if value is not None}
    wanted = (item.message_id, item.user_id, event, expected)
    return (row["message_id"], row["user_id"], row["event"], row["content"]) != wanted


def _wrong_persons(stack: Stack, due: dict[reference.Origin, Item]) -> int:
    expected = {
        user: (traits, _as_clickhouse(first), _as_clickhouse(last))
        for user, (traits, first, last) in reference.persons(due.values()).items()
    }
    rows = stack.query(
        "SELECT user_id, traits, toString(first_seen) AS first, toString(last_seen) AS last FROM persons"
    )
    found = {str(row["user_id"]): (row["traits"], row["first"], row["last"]) for row in rows}
    doubled = len(rows) - len(found)
    return doubled + sum(found.get(user) != expected.get(user) for user in expected.keys() | found.keys())


def _as_clickhouse(time: str) -> str:
    return time.replace("T", " ").removesuffix("Z")


def _rejected_id(value: bytes) -> str:
    return str(orjson.loads(value).get("messageId"))


def _number(value: object) -> int:
    return int(str(value))


def _lag(settings: KafkaSettings, topics: Topics) -> tuple[int, int]:
    """Return how many records are not committed yet by the groups that read them, and how many there are in all."""

    async def ask() -> tuple[int, int]:
        lag = total = 0
        for group, names in GROUPS.items():
            read = [getattr(topics, name) for name in names]
            async with AIOKafkaConsumer(*read, **kafka_arguments(settings)) as reader:
                ends: dict[Any, int] = await reader.end_offsets(reader.assignment())
            async with AIOKafkaConsumer(**kafka_arguments(settings), group_id=f"{topics.prefix}-{group}") as consumer:
                total += sum(ends.values())
                for tp, end in ends.items():
                    lag += end - (await consumer.committed(tp) or 0)
        return lag, total

    return asyncio.run(ask())
