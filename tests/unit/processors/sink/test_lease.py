"""The lease ends on the server's clock: whatever stood still or was set, no INSERT passes after the group let go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.clickhouse.client import ANSWER_SECONDS
from processors.clickhouse.errors import LeaseEndedError, UnavailableError
from processors.engine.membership import GroupMembership
from processors.sink.lease import LEASE_MARGIN_SECONDS, ServerLease

SESSION = 10.0
START = 1_800_000_000.0


@dataclass
class World:
    """A worker's machine, ClickHouse and the group coordinator, with the true time in common."""

    now: float = START
    suspended: float = 0.0
    """Seconds for which the worker's monotonic clock stood still."""
    step: float = 0.0
    """How far ClickHouse's clock was set ahead."""
    reachable: bool = True
    expires: float = START + SESSION
    """When the group lets the worker go, unless it hears of it before."""

    def monotonic(self) -> float:
        return self.now - self.suspended

    def server_clock(self) -> float:
        if not self.reachable:
            raise UnavailableError("refused")
        return self.now + self.step

    def suspend(self, seconds: float) -> None:
        self.now += seconds
        self.suspended += seconds

    def accepts_heartbeat(self) -> bool:
        if self.now >= self.expires:
            return False
        self.expires = self.now + SESSION
        return True

    def written(self, deadline: Callable[[], float]) -> bool:
        """Return whether an INSERT that is sent now passes its condition at once."""
        try:
            return self.now + self.step < deadline()
        except UnavailableError:
            return False


@dataclass
class Worker:
    """A worker with the lease under test."""

    world: World
    requested: int = 0
    membership: GroupMembership = field(init=False)
    lease: ServerLease = field(init=False)

    def __post_init__(self) -> None:
        self.membership = GroupMembership(SESSION, self._request)
        self.lease = ServerLease(self.world.server_clock, wait_seconds=0.0)
        self.lease.attach(self.membership)

    def _request(self) -> None:
        self.requested += 1

    def heartbeat(self) -> None:
        acknowledged = self.membership.sent()
        if self.world.accepts_heartbeat():
            acknowledged()

    def pair(self) -> None:
        self.lease.read()
        self.heartbeat()

    def writes(self) -> bool:
        return self.world.written(self.lease.deadline)


@dataclass
class MonotonicLease:
    """The control: the clock of the server is read at times and extended by the worker's monotonic clock."""

    world: World
    read_after: float = 30.0
    last_heartbeat: float = 0.0
    reading: tuple[float, float] | None = None

    def heartbeat(self) -> None:
        sent_at = self.world.monotonic()
        if self.world.accepts_heartbeat():
            self.last_heartbeat = sent_at

    def deadline(self) -> float:
        now = self.world.monotonic()
        if self.reading is None or now - self.reading[1] > self.read_after:
            self.reading = self.world.server_clock(), now
        lease = self.last_heartbeat + SESSION - LEASE_MARGIN_SECONDS
        return self.reading[0] + min(lease, now + ANSWER_SECONDS) - self.reading[1]


def test_no_insert_after_a_suspension_that_the_monotonic_clock_did_not_see() -> None:
    world = World()
    worker, control = Worker(world), MonotonicLease(world)
    worker.pair()
    control.heartbeat()
    assert worker.writes()
    world.suspend(12.0)
    assert world.now >= world.expires

    assert not worker.writes()
    worker.lease.read()
    assert not worker.writes()
    assert world.written(control.deadline), "the control does not show the fault"


def test_each_time_that_clickhouse_stops_answering_is_counted_once() -> None:
    world = World()
    worker = Worker(world)
    worker.pair()
    for _ in range(2):
        world.reachable = False
        worker.lease.read()
        worker.lease.read()
        world.reachable = True
        worker.lease.read()

    assert worker.lease.interruptions == 2


def test_heartbeat_that_is_acknowledged_late_extends_from_the_reading_before_it() -> None:
    world = World()
    worker = Worker(world)
    worker.lease.read()
    acknowledged = worker.membership.sent()
    world.accepts_heartbeat()
    world.suspend(60.0)
    acknowledged()

    assert not worker.writes()


def test_reading_after_the_heartbeat_was_sent_does_not_extend_the_lease() -> None:
    world = World()
    worker = Worker(world)
    worker.lease.read()
    acknowledged = worker.membership.sent()
    world.now += 5.0
    worker.lease.read()
    acknowledged()

    world.now = START + SESSION - LEASE_MARGIN_SECONDS
    assert not worker.writes()


def test_nothing_is_inserted_before_the_first_pair() -> None:
    world = World()
    worker = Worker(world)
    worker.heartbeat()
    assert not worker.writes()
    worker.lease.read()
    assert not worker.writes()
    with pytest.raises(LeaseEndedError, match="no heartbeat"):
        worker.lease.deadline()
    worker.heartbeat()
    assert worker.writes()


def test_heartbeat_is_requested_until_the_lease_is_fresh() -> None:
    world = World()
    worker = Worker(world)
    worker.lease.read()
    assert worker.requested == 1
    worker.heartbeat()
    worker.lease.read()
    assert worker.requested == 1
    world.now += SESSION / 2
    worker.lease.read()
    assert worker.requested == 2


def test_insert_carries_the_time_at_which_its_sender_can_give_up() -> None:
    world = World()
    worker = Worker(world)
    worker.pair()

    assert worker.lease.deadline() == START + ANSWER_SECONDS
    world.now += 5.0
    worker.lease.read()
    assert worker.lease.deadline() == START + SESSION - LEASE_MARGIN_SECONDS


def test_server_clock_set_ahead_stops_inserts_until_the_next_pair() -> None:
    world = World()
    worker = Worker(world)
    worker.pair()
    world.step = 3600.0

    assert not worker.writes()
    assert worker.lease.has_ended(world.server_clock())
    assert worker.requested == 2
    worker.pair()
    assert worker.writes()


def test_server_clock_set_back_shortens_the_lease_with_the_next_pair() -> None:
    world = World()
    worker = Worker(world)
    worker.pair()
    world.step = -3600.0
    assert worker.writes()
    worker.pair()
    assert worker.writes()
    world.suspend(SESSION)
    assert not worker.writes()


def test_late_insert_within_the_lease_has_not_lost_it() -> None:
    world = World()
    worker = Worker(world)
    worker.pair()

    assert not worker.lease.has_ended(START + SESSION - LEASE_MARGIN_SECONDS - 0.1)
    assert worker.lease.has_ended(START + SESSION - LEASE_MARGIN_SECONDS)


def test_unreachable_server_is_the_reason_of_a_missing_lease() -> None:
    world = World(reachable=False)
    worker = Worker(world)
    worker.pair()

    with pytest.raises(UnavailableError, match="refused"):
        worker.lease.deadline()


steps = st.lists(
    st.one_of(
        st.just(("read", 0.0)),
        st.just(("sent", 0.0)),
        st.just(("acknowledged", 0.0)),
        st.tuples(st.sampled_from(["suspend", "pass"]), st.floats(0.1, 15.0)),
    ),
    max_size=40,
)


@given(steps)
def test_no_order_of_events_lets_an_insert_pass_after_the_session_has_ended(events: list[tuple[str, float]]) -> None:
    world = World()
    worker = Worker(world)
    pending: list[Callable[[], None]] = []
    for name, seconds in events:
        if name == "read":
            worker.lease.read()
        elif name == "sent":
            acknowledged = worker.membership.sent()
            if world.accepts_heartbeat():
                pending.append(acknowledged)
        elif name == "acknowledged" and pending:
            pending.pop(0)()
        elif name == "suspend":
            world.suspend(seconds)
        elif name == "pass":
            world.now += seconds
        if world.now >= world.expires:
            assert not worker.writes()
