"""The lease: until when no other worker can own the partitions of this one, on ClickHouse's own clock.

The sink reads the server's clock, and then a heartbeat is sent to the consumer group. Once the group has acknowledged
it, the lease ends at that reading plus the session timeout: the group cannot have given the partitions away before. No
local clock takes part, so it does not matter whether this process, its machine or its clocks stood still in between.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from processors.clickhouse.client import ANSWER_SECONDS
from processors.clickhouse.errors import ClickHouseError, LeaseEndedError, UnavailableError
from processors.engine.stage import Membership

READ_SECONDS = 1.0
"""Pause between readings of the server's clock."""
WAIT_SECONDS = 2.0
"""How long an INSERT waits for a lease before it fails."""
LEASE_MARGIN_SECONDS = 1.0
"""Difference that is allowed between the clocks of several servers, and between the broker's second and theirs."""

log = logging.getLogger(__name__)


class Lease(Protocol):
    """Until when an INSERT may be executed, in seconds since 1970 on ClickHouse's clock. For any thread."""

    @property
    def interruptions(self) -> int:
        """How often ClickHouse has stopped answering. Its tables may have been restored each time."""

    def deadline(self) -> float:
        """Return the deadline of an INSERT that is sent now; may wait, and raises `UnavailableError` without a lease.

        It is the end of the lease, or the earliest time at which the sender can have given up, if that is earlier.
        """

    def has_ended(self, server_seconds: float) -> bool:
        """Return whether the lease has ended, now that the server's clock shows *server_seconds*."""


class SinkLease(Lease, Protocol):
    """A lease with its life."""

    def start(self, membership: Membership) -> None:
        """Begin, unless it has begun."""

    def stop(self) -> None:
        """End for good."""


class ServerLease:
    """The lease of a sink. Start it with the worker's membership; one for all stages."""

    def __init__(self, read_clock: Callable[[], float], wait_seconds: float = WAIT_SECONDS) -> None:
        self._read_clock = read_clock
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._membership: Membership | None = None
        self._reading: float | None = None
        """The latest reading of the server's clock."""
        self._end: float | None = None
        """The end of the lease by the latest heartbeat that was acknowledged."""
        self._error: ClickHouseError | None = None
        """Why the latest reading failed."""
        self._interruptions = 0
        self._stopping = threading.Event()

    def start(self, membership: Membership) -> None:
        """Begin to read the server's clock, unless it has begun."""
        if self._membership is None:
            self.attach(membership)
            threading.Thread(target=self._run, name="server-clock", daemon=True).start()

    def attach(self, membership: Membership) -> None:
        """Follow the heartbeats of *membership*; `read` reads the clock."""
        self._membership = membership
        membership.observe(self._sample, self._acknowledged)

    def stop(self) -> None:
        """End reading."""
        self._stopping.set()

    @property
    def interruptions(self) -> int:
        """How often ClickHouse has stopped answering the readings of its clock, of which there is one each second."""
        return self._interruptions

    def deadline(self) -> float:
        """Return the deadline of an INSERT that is sent now."""
        with self._changed:
            self._changed.wait_for(self._is_valid, self._wait_seconds)
            if self._reading is not None and self._end is not None and self._is_valid():
                # The sender waits for `ANSWER_SECONDS` from now, and the server's clock has passed the reading.
                return min(self._end, self._reading + ANSWER_SECONDS)
            error = self._error
        if error is not None:
            raise UnavailableError(str(error)) from error
        raise LeaseEndedError(
            "The consumer group has acknowledged no heartbeat that was sent after ClickHouse's clock was read."
        )

    def has_ended(self, server_seconds: float) -> bool:
        """Return whether the lease has ended, now that the server's clock shows *server_seconds*."""
        with self._changed:
            ended = self._end is None or server_seconds >= self._end
        self._note(server_seconds)
        return ended

    def read(self) -> None:
        """Read the server's clock once."""
        try:
            self._note(self._read_clock())
        except ClickHouseError as error:
            # The INSERTs that wait for it are logged.
            self._interruptions += self._error is None
            self._error = error

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.read()
            except Exception as error:  # without readings nothing is inserted
                log.debug("cannot read ClickHouse's clock", exc_info=True)
                self._error = UnavailableError(f"ClickHouse's clock cannot be read: {error!r}")
            self._stopping.wait(READ_SECONDS)

    def _note(self, server_seconds: float) -> None:
        with self._changed:
            self._reading, self._error = server_seconds, None
            ends_soon = self._end is None or server_seconds >= self._end - self._seconds / 2
            self._changed.notify_all()
        # At the start, after a rebalance, and after a step of the server's clock, the next heartbeat would be late.
        if ends_soon and self._membership is not None:
            self._membership.request_heartbeat()

    def _sample(self) -> float | None:
        return self._reading

    def _acknowledged(self, reading: float | None) -> None:
        """Extend the lease, or shorten it if the server's clock was set back: the latest pair alone counts."""
        if reading is not None:
            with self._changed:
                self._end = reading + self._seconds
                self._changed.notify_all()

    def _is_valid(self) -> bool:
        return self._reading is not None and self._end is not None and self._reading < self._end

    @property
    def _seconds(self) -> float:
        return 0.0 if self._membership is None else self._membership.seconds - LEASE_MARGIN_SECONDS
