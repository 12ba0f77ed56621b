"""Memory that all requests without a token in their headers hold together."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import OverloadedError


def _ignore() -> None:
    pass


class SenderBudget:
    """Bytes of requests without a token in their headers.

    When it is used up, a request that is still waiting for its body gives way, the oldest first: a sender that stalls
    cannot keep the others out.
    """

    REQUEST_BYTES = 4096
    """Charged for every request, whatever has arrived of it. It bounds their number."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._receiving: dict[SenderReservation, None] = {}
        self.reserved_bytes = 0

    def open(self) -> SenderReservation:
        """Return the reservation of a new request, or raise `OverloadedError`."""
        reservation = SenderReservation(self)
        reservation.reserve(self.REQUEST_BYTES)
        self._receiving[reservation] = None
        return reservation

    def reserve(self, reservation: SenderReservation, count: int) -> None:
        """Reserve *count* bytes for *reservation*. Older requests that give way release theirs."""
        while self.reserved_bytes + count > self._limit_bytes:
            oldest = next(iter(self._receiving), reservation)
            if oldest is reservation:
                raise OverloadedError("unauthenticated")
            oldest.give_way()
        self.reserved_bytes += count

    def release(self, reservation: SenderReservation, count: int) -> None:
        """Return the *count* bytes of *reservation*."""
        self.reserved_bytes -= count
        self._receiving.pop(reservation, None)

    def received(self, reservation: SenderReservation) -> None:
        """Let *reservation* stay: the body has arrived."""
        self._receiving.pop(reservation, None)


class SenderReservation:
    """What one request without a token in its headers holds."""

    __slots__ = ("_budget", "_count", "_is_open", "on_give_way")

    def __init__(self, budget: SenderBudget) -> None:
        self._budget = budget
        self._count = 0
        self._is_open = True
        self.on_give_way: Callable[[], None] = _ignore
        """Called when the request must end."""

    def reserve(self, count: int) -> None:
        """Reserve *count* more bytes."""
        if not self._is_open:
            raise OverloadedError("unauthenticated")
        self._budget.reserve(self, count)
        self._count += count

    def received(self) -> None:
        """Note that the whole body has arrived."""
        self._budget.received(self)

    def give_way(self) -> None:
        """End the request."""
        self._is_open = False
        self.release()
        self.on_give_way()

    def release(self) -> None:
        """Return everything."""
        self._budget.release(self, self._count)
        self._count = 0
