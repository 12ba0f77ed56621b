"""The guarantee as checks: topics and tables are compared with the ledger and with the reference model.

The ledger decides which messageIds must exist. `reference` decides the expected result of what is on `items.v1`.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, fields
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from schemas.items import Item, Track
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import DAY_MS, Topics
from tests.faults import erased_users, reference
from tests.faults.ledger import Ledger, SourceOffset
from tests.faults.stack import Stack
from tests.support import logs
from tests.support.services import eventually

GROUPS = {"dedupe": ("items",), "persons": ("identifies",), "sink": ("events", "persons", "duplicates", "rejected")}
WINDOW_MS = 7 * DAY_MS
"""The default dedupe window."""
DUPLICATES = "SELECT _partition, _origin FROM duplicates"
REJECTED = "SELECT _partition, _origin FROM rejected"
MISSING = ("lost", "unaccounted", "wrong_persons", "rejected_lost", "duplicates_lost", "rejections_lost")
"""Violations that end when the sink has written what is missing."""
COUNTS = ("items", "events", "identifies", "persons", "unknown")


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one check. All but `COUNTS` are violations and must be zero."""

    items: int
    events: int
    identifies: int
    persons: int
    unknown: int
    """MessageIds whose requests never got a final status."""
    lost: int
    """MessageIds that were acknowledged, or have an item that counts, and have no row."""
    doubled: int
    """Surplus rows, without FINAL and with merges stopped."""
    doubled_source_offsets: int
    """Surplus rows of one source offset."""
    foreign: int
    """Rows whose messageId the client never sent."""
    changed: int
    """Rows whose source offset and content differ from the item that counts."""
    rejected_visible: int
    rejected_lost: int
    """Rejected messageIds that are missing from `rejected.v1`."""
    unaccounted: int
    """MessageIds on `items.v1` that have neither a row nor a rejection."""
    undeleted: int
    """Rows that an operator deleted for good and that were written again."""
    erased_visible: int
    """Rows of erased users that arrived before the erasure, in any table."""
    wrong_persons: int
    duplicates_lost: int
    """Items that do not count and have no row in `duplicates`."""
    duplicates_doubled: int
    """Surplus rows of `duplicates`, and rows of items that count."""
    rejections_lost: int
    """Records of `rejected.v1` that have no row in `rejected`."""
    rejections_doubled: int
    """Surplus rows of `rejected`."""

    @property
    def violations(self) -> dict[str, int]:
        """The figures that must be zero."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in COUNTS}


def wait_until_idle(stack: Stack, *, within_seconds: float = 120.0) -> None:
    """Wait until every consumer group has zero lag and the topics stop growing."""
    topics = Topics(stack.kafka.topic_prefix)
    looks: list[tuple[int, int]] = []

    def idle() -> bool:
        looks.append(_lag(stack.kafka, topics))
        # End offsets are read before commits; records written in between show up in the second reading.
        return len(looks) > 1 and looks[-1] == looks[-2] and looks[-1][0] == 0

    eventually(idle, "all groups have zero lag", within_seconds=within_seconds, every_seconds=1.0)


def settled(stack: Stack, ledger: Ledger, *, within_seconds: float, idle_within_seconds: float = 180.0) -> Figures:
    """Wait until the pipeline is idle and nothing is missing any more, or *within_seconds*, and return the figures.

    A sink that fills a table again reads what its group has committed before, so zero lag is not its end.
    """
    wait_until_idle(stack, within_seconds=idle_within_seconds)
    deadline = time.monotonic() + within_seconds
    while True:
        figures = check(stack, ledger)
        if not any(figures.violations[name] for name in MISSING) or time.monotonic() > deadline:
            return figures
        time.sleep(2)


def check(stack: Stack, ledger: Ledger) -> Figures:
    """Compare topics and tables with *ledger* and return the figures."""
    topics = Topics(stack.kafka.topic_prefix)
    items = logs.read(stack.kafka, topics.items)
    valid = reference.valid(items)
    erased = {at for at, item in valid.items() if (cut := ledger.erased.get(item.user_id)) and cut.covers(at)}
    counting = reference.counted(items, WINDOW_MS)
    due = {at: item for at, item in counting.items() if at not in erased}
    repeats = valid.keys() - counting.keys() - erased
    duplicates = [(_number(row["_partition"]), _number(row["_origin"])) for row in stack.query(DUPLICATES)]
    due_ids = {item.message_id for item in due.values()}
    rows = [
        *_rows(stack, "events", "event, properties_null_keys AS null_keys, properties"),
        *_rows(stack, "identifies", "'' AS event, traits_null_keys AS null_keys, traits"),
    ]
    seen = {str(row["message_id"]) for row in rows}
    source_offsets = [(_number(row["_partition"]), _number(row["_origin"])) for row in rows]
    # The rows first: the topic has the record of each of them.
    rejections = [(_number(row["_partition"]), _number(row["_origin"])) for row in stack.query(REJECTED)]
    rejected_records = logs.read(stack.kafka, topics.rejected)
    forgotten = erased_users.rejections(rejected_records, ledger.erased)
    rejected = {_rejected_id(record.value) for record in rejected_records}
    rejected_ids = ledger.ids("rejected")
    there = set(source_offsets)
    excused = ledger.deleted | ledger.maybe_deleted
    present = there | excused
    may_be_gone = {counting[at].message_id for at in (excused | erased) & counting.keys()}
    may_be_gone |= ledger.may_be_rejected & rejected
    lost = (
        {item.message_id for source_offset, item in due.items() if source_offset not in present}
        | (ledger.ids("acknowledged") - seen)
    ) - (may_be_gone - seen)
    # After its window a messageId counts again, so there can be more items that count than messageIds.
    counted = [item.message_id for source_offset, item in due.items() if source_offset in there]
    return Figures(
        items=ledger.sent,
        events=sum(row["kind"] == "events" for row in rows),
        identifies=sum(row["kind"] == "identifies" for row in rows),
        persons=len(stack.query("SELECT user_id FROM persons")),
        unknown=len(ledger.ids("unknown")),
        lost=len(lost),
        doubled=len(rows) - len(seen) - (len(counted) - len(set(counted))),
        doubled_source_offsets=len(rows) - len(there),
        foreign=len(seen - ledger.entries.keys()),
        changed=sum(_differs(row, due.get(at)) for row, at in zip(rows, source_offsets, strict=True)),
        rejected_visible=len(rejected_ids & seen),
        rejected_lost=len(rejected_ids - rejected),
        unaccounted=len(due_ids - seen - rejected - may_be_gone),
        undeleted=len(there & ledger.deleted),
        erased_visible=len((there | set(duplicates)) & erased)
        + len(set(rejections) & forgotten)
        + erased_users.old_states(stack, ledger.erased),
        wrong_persons=_wrong_persons(stack, due),
        duplicates_lost=len(repeats - set(duplicates)),
        duplicates_doubled=len(duplicates) - len(repeats & set(duplicates)),
        rejections_lost=len({(each.partition, each.offset) for each in rejected_records} - forgotten - set(rejections)),
        rejections_doubled=len(rejections) - len(set(rejections)),
    )


def _rows(stack: Stack, table: str, content: str) -> list[dict[str, object]]:
    columns = f"'{table}' AS kind, message_id, user_id, {content} AS content, _partition, _origin"
    return stack.query(f"SELECT {columns} FROM {table}")  # noqa: S608  # our own tables


def _differs(row: dict[str, object], item: Item | None) -> bool:
    if item is None:
        return True
    content = item.properties if isinstance(item, Track) else item.traits
    event = item.event if isinstance(item, Track) else ""
    sent = orjson.loads(bytes(content))
    expected = {name: value for name, value in sent.items() if value is not None}
    wanted = (item.message_id, item.user_id, event, expected, sorted(sent.keys() - expected.keys()))
    return (row["message_id"], row["user_id"], row["event"], row["content"], sorted(row["null_keys"])) != wanted  # type: ignore[call-overload]


def _wrong_persons(stack: Stack, due: dict[SourceOffset, Item]) -> int:
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
    """Return the messageId of a rejection; the sink rejects rows, whose content has it."""
    rejection = orjson.loads(value)
    if (message_id := rejection.get("messageId")) is None and rejection.get("stage") == "sink":
        # A long row is cut, so it need not be valid JSON.
        found = re.search(r'"message_id":"([^"]*)"', rejection["content"])
        message_id = found[1] if found else None
    return str(message_id)


def _number(value: object) -> int:
    return int(str(value))


def _lag(settings: KafkaSettings, topics: Topics) -> tuple[int, int]:
    """Return the total consumer lag and the total number of records."""

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
