"""The worker's membership in its consumer group: which heartbeats the group has acknowledged.

No other worker can own the partitions of a member. The engine tells a stage of each heartbeat twice, when it is sent
and when it is acknowledged; what happened before the first of them is surely older than the member's session.

A coordinator that is cut off from the other brokers accepts heartbeats, while another broker gives the partitions to
other workers. So a heartbeat counts as acknowledged only when the same coordinator has committed offsets after it: that
takes a replica, which follows the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

S = TypeVar("S")


class GroupMembership:
    """Calls the observers of heartbeats, in the thread of the consumer."""

    def __init__(self, seconds: float, request_heartbeat: Callable[[], None]) -> None:
        self.seconds = seconds
        """How long the group keeps a member after a heartbeat, at least."""
        self._request_heartbeat = request_heartbeat
        self._observers: list[Callable[[], Callable[[], None]]] = []

    def observe(self, sample: Callable[[], S], acknowledged: Callable[[S], None]) -> None:
        """Call *sample* before each heartbeat is sent, and *acknowledged* with its result once it is acknowledged.

        Both are called in the thread of the consumer and must not block.
        """

        def observer() -> Callable[[], None]:
            result = sample()
            return lambda: acknowledged(result)

        self._observers.append(observer)

    def request_heartbeat(self) -> None:
        """Send a heartbeat at once, if the worker is a member; for any thread."""
        self._request_heartbeat()

    @property
    def is_observed(self) -> bool:
        """Whether anything depends on the heartbeats."""
        return bool(self._observers)

    def sent(self) -> Callable[[], None]:
        """Note that a heartbeat will be sent now; return what to call when the group has acknowledged it."""
        calls = [observer() for observer in self._observers]

        def accepted() -> None:
            for call in calls:
                call()

        return accepted
