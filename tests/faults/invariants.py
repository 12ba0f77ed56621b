"""The promise, as checks over what is really there: topics and tables against the ledger.

The first copy of a messageId on `items.v1` is what counts; everything else follows from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from schemas.items import Identify, Item, Track
from schemas.persons import Person, fold
from schemas.records import InvalidRecordError, decode_item
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topics
from tests import logs
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack
from tests.services import eventually

GROUPS = {"dedupe": ("items",), "persons": ("events", "identifies"), "events": ("events", "persons")}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted; all but the first four are faults and must be zero."""

    items: int
    events: int
    identifies: int
    persons: int
    lost: int
    """Acknowledged and not in ClickHouse."""
    doubled: int
    """Rows beyond one for a messageId, without FINAL and with merges stopped."""
    doubled_origins: int
    """Rows beyond one for a position."""
    foreign: int
    """Rows that the client never sent."""
    changed: int
    """Rows whose content is not that of the first copy on `items.v1`."""
    refused_visible: int
    unaccounted: int
    """MessageIds on `items.v1` that are neither a row nor rejected."""
    wrong_persons: int

    @property
    def faults(self) -> dict[str, int]:
        """The figures that must be zero."""
        counted = ("items", "events", "identifies", "persons")
        return {name: value for name, value in asdict(self).items() if name not in counted}


def wait_until_idle(stack: Stack, *, within_seconds: float = 120.0) -> None:
    """Return when every group has committed all there is and nothing more comes."""
    topics = Topics(stack.kafka.topic_prefix)
    eventually(lambda: _lag(stack.kafka, topics) == 0, "no lag is left", within_seconds=within_seconds)


def check(stack: Stack, ledger: Ledger) -> Figures:
    """Return the figures of what is there now."""
    topics = Topics(stack.kafka.topic_prefix)
    first = first_copies(logs.read(stack.kafka, topics.items))
    rows = stack.query("SELECT message_id, user_id, event, properties FROM events") + stack.query(
        "SELECT message_id, user_id, '' AS event, traits AS properties FROM identifies"
    )
    seen = {str(row["message_id"]) for row in rows}
    rejected = {_rejected_id(record.value) for record in logs.read(stack.kafka, topics.rejected)}
    counts = _counts(stack)
    acknowledged = {name for name, entry in ledger.entries.items() if entry.outcome == "acknowledged"}
    refused = {name for name, entry in ledger.entries.items() if entry.outcome == "refused"}
    return Figures(
        items=ledger.sent,
        events=counts["events"][0],
        identifies=counts["identifies"][0],
        persons=len(stack.query("SELECT user_id FROM persons")),
        lost=len(acknowledged - seen),
        doubled=sum(total - unique for total, unique, _ in counts.values()),
        doubled_origins=sum(total - origins for total, _, origins in counts.values()),
        foreign=len(seen - ledger.entries.keys()),
        changed=sum(_differs(row, first.get(str(row["message_id"]))) for row in rows),
        refused_visible=len(refused & seen),
        unaccounted=len(first.keys() - seen - rejected),
        wrong_persons=_wrong_persons(stack, first.values()),
    )


def first_copies(records: Iterable[Any]) -> dict[str, Item]:
    """Return the first item of each messageId; a messageId is always in one partition, so its order is known."""
    first: dict[str, Item] = {}
    for record in records:
        try:
            item = decode_item(record.value)
        except InvalidRecordError:
            continue
        first.setdefault(item.message_id, item)
    return first


def _counts(stack: Stack) -> dict[str, tuple[int, int, int]]:
    counts = {}
    for table in ("events", "identifies"):
        counted = (
            "count() AS total, uniqExact(project_id, message_id) AS ids, uniqExact(_partition, _origin) AS origins"
        )
        row = stack.query(f"SELECT {counted} FROM {table}")[0]  # noqa: S608  # our own tables
        counts[table] = (_number(row["total"]), _number(row["ids"]), _number(row["origins"]))
    return counts


def _differs(row: dict[str, object], item: Item | None) -> bool:
    if item is None:
        return True
    content = item.properties if isinstance(item, Track) else item.traits
    event = item.event if isinstance(item, Track) else ""
    expected = {name: value for name, value in orjson.loads(bytes(content)).items() if value is not None}
    return (row["user_id"], row["event"], row["properties"]) != (item.user_id, event, expected)


def _wrong_persons(stack: Stack, items: Iterable[Item]) -> int:
    by_user: dict[str, list[Identify]] = {}
    for item in items:
        if isinstance(item, Identify):
            by_user.setdefault(item.user_id, []).append(item)
    expected = {user: _visible(reduce(fold, mine[1:], fold(None, mine[0]))) for user, mine in by_user.items()}
    rows = stack.query(
        "SELECT user_id, traits, toString(first_seen) AS first, toString(last_seen) AS last FROM persons"
    )
    found = {row["user_id"]: (row["traits"], row["first"], row["last"]) for row in rows}
    doubled = len(rows) - len(found)
    return doubled + sum(found.get(user) != expected.get(str(user)) for user in expected.keys() | found.keys())


def _visible(person: Person) -> tuple[dict[str, Any], str, str]:
    traits = {name: orjson.loads(bytes(value)) for name, value in person.traits.items()}
    return traits, _as_clickhouse(person.first_seen), _as_clickhouse(person.last_seen)


def _as_clickhouse(time: str) -> str:
    return time.replace("T", " ").removesuffix("Z")


def _rejected_id(value: bytes) -> str:
    return str(orjson.loads(value).get("messageId"))


def _number(value: object) -> int:
    return int(str(value))


def _lag(settings: KafkaSettings, topics: Topics) -> int:
    """Return how many records are not committed yet by the groups that read them."""

    async def ask() -> int:
        lag = 0
        for group, names in GROUPS.items():
            read = [getattr(topics, name) for name in names]
            async with AIOKafkaConsumer(*read, **kafka_arguments(settings)) as reader:
                ends = await reader.end_offsets(reader.assignment())
            async with AIOKafkaConsumer(**kafka_arguments(settings), group_id=f"{topics.prefix}-{group}") as consumer:
                for tp, end in ends.items():
                    lag += end - (await consumer.committed(tp) or 0)
        return lag

    return asyncio.run(ask())
