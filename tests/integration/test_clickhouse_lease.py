"""INSERTs at the end of their lease, and after a step of the server's clock: all of their rows are written, or none."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import LeaseEndedError
from processors.engine.membership import GroupMembership
from processors.sink.insert import ClickHouseSink
from processors.sink.lease import LEASE_MARGIN_SECONDS, ServerLease
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import valid_lease
from tests.support import databases, services
from tests.support.records import event_read, track
from tests.support.services import eventually

ROWS = 40_000
"""About 24 MB: ClickHouse reads it in several pieces and checks its clock for each."""


@pytest.fixture
def client(clickhouse: str) -> Iterator[ClickHouse]:
    settings = services.clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    databases.create(settings)
    client = ClickHouse(settings)
    yield client
    client.execute(f"DROP DATABASE {settings.database}")
    client.close()


@dataclass(frozen=True)
class LeaseUntil:
    """A lease that ends at *end* on the server's clock."""

    end: float
    interruptions: int = 0

    def deadline(self) -> float:
        return self.end

    def has_ended(self, server_seconds: float) -> bool:
        return server_seconds >= self.end


def test_lease_that_ends_during_the_insert_leaves_no_partial_block(client: ClickHouse) -> None:
    sink = ClickHouseSink(client)
    block = wide_block()
    taken = seconds_of_an_insert(client, sink, block)
    outcomes = []
    for share in range(1, 13):
        client.execute("TRUNCATE TABLE events")
        try:
            sink.insert([block], LeaseUntil(client.clock() + taken * share / 10))
            outcomes.append(ROWS)
        except LeaseEndedError:
            outcomes.append(0)
        assert count(client) == outcomes[-1]
    assert 0 in outcomes


class SetClock:
    """The server's clock, as if it had been set by `step` before it was read."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client
        self.step = 0.0

    def __call__(self) -> float:
        return self._client.clock() + self.step


class Group:
    """A consumer group that accepts heartbeats; one is sent when the lease asks for it."""

    def __init__(self, seconds: float) -> None:
        self.membership = GroupMembership(seconds, self.heartbeat)
        self.accepts = True

    def heartbeat(self) -> None:
        if self.accepts:
            self.membership.sent()()


def test_insert_passes_until_the_session_has_ended_on_the_servers_clock(client: ClickHouse) -> None:
    lease, group = ServerLease(client.clock, wait_seconds=0.0), Group(1.0 + LEASE_MARGIN_SECONDS)
    sink = ClickHouseSink(client)
    lease.attach(group.membership)
    lease.read()
    ends = lease.deadline()
    sink.insert([narrow_block(0)], lease)
    assert count(client) == 1

    # Nothing has read the clock since, as in a process that stood still.
    eventually(lambda: client.clock() > ends, "the session has ended", within_seconds=10)
    group.accepts = False
    assert lease.deadline() == ends
    with pytest.raises(LeaseEndedError, match="before the INSERT"):
        sink.insert([narrow_block(1)], lease)
    assert count(client) == 1


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["an hour ahead", "an hour back"])
def test_step_of_the_servers_clock_stops_no_insert_for_longer_than_a_pair(client: ClickHouse, step: float) -> None:
    # The lease was read before the server's clock was set by *step*: to it, the earlier clock showed less or more.
    clock = SetClock(client)
    lease, group = ServerLease(clock, wait_seconds=0.0), Group(10.0)
    sink = ClickHouseSink(client)
    lease.attach(group.membership)
    clock.step = -step
    lease.read()
    clock.step = 0.0
    attempts = 0
    while count(client) == 0:
        attempts += 1
        try:
            sink.insert([narrow_block(0)], lease)
        except LeaseEndedError:
            assert count(client) == 0
    assert attempts == (2 if step > 0 else 1)


def narrow_block(offset: int) -> Block:
    return Block(EVENTS, 0, item_rows([event_read(offset, track(f"m{offset}"), source_offset=offset)], 1, 0).events)


def wide_block() -> Block:
    properties = b'{"text":"%s"}' % (b"x" * 300)
    item = track("m", properties=properties)
    records = [
        event_read(offset, msgspec.structs.replace(item, message_id=f"m{offset}"), source_offset=offset)
        for offset in range(ROWS)
    ]
    return Block(EVENTS, 0, item_rows(records, 1, 0).events)


def seconds_of_an_insert(client: ClickHouse, sink: ClickHouseSink, block: Block) -> float:
    began = time.monotonic()
    sink.insert([block], valid_lease)
    assert count(client) == ROWS
    return time.monotonic() - began


def count(client: ClickHouse) -> int:
    return int(client.query("SELECT count() AS n FROM events")[0]["n"])
