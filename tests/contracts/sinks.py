"""Sinks to test, and what goes into them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from processors.sink.rows import Block, Row, item_rows
from processors.sink.writer import Sink
from schemas.clickhouse import EVENTS, Table
from tests.support.records import event_read, track


@dataclass
class SinkWorld:
    """A sink, and what can be read of its tables: partition and origin of each row, sorted."""

    sink: Sink
    stored: Callable[[Table], list[tuple[int, int]]]


def held() -> float:
    return time.monotonic() + 60


def ended() -> float:
    return time.monotonic() - 1


def tracks(origins: range, partition: int = 0) -> list[Row]:
    """Return a row of `events` for each of *origins*."""
    records = [event_read(origin, track(f"m{partition}-{origin}"), origin=origin) for origin in origins]
    return list(item_rows(records, partition).events)


def block(origins: range, partition: int = 0) -> Block:
    return Block(EVENTS, partition, tracks(origins, partition))


def places(origins: range, partition: int = 0) -> list[tuple[int, int]]:
    return [(partition, origin) for origin in origins]


def refused(row: Row) -> Row:
    """Return *row* with a time that is none."""
    return msgspec.structs.replace(row, timestamp="never")
