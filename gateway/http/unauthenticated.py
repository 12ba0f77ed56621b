"""Receives requests without a token in their headers: some SDKs and every beacon send it in the body alone.

Until a valid token is found, a stranger's request costs little: memory of its own budget, a body no larger than a
compressed one, a search for `writeKey` instead of a parse, and a share of the event loop's time for all such requests.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from aiohttp import web

from gateway.errors import BodyTooLargeError, OverloadedError, UnauthorizedError
from gateway.http.sender_budget import SenderBudget, SenderReservation
from gateway.http.time_share import TimeShare
from gateway.ingest.body import BodyLimits, Decoder, decoded, decoder_of, read_wire
from gateway.ingest.envelope import find_write_keys
from gateway.projects.registry import ProjectSource
from gateway.settings import GatewaySettings

_TIME_SHARE = 0.1
_USUAL_BODY_SECONDS = 0.0002
"""Time for a body of an SDK. Larger bodies, and those that decompress to much, wait for their share."""
_LARGEST_BODIES = 4
"""Bodies of the largest size, compressed and decompressed, that the budget holds at least."""


class UnauthenticatedRequests:
    """Admits requests that turn out to have a valid token. One instance serves the process."""

    def __init__(self, settings: GatewaySettings, projects: ProjectSource) -> None:
        self._limits = BodyLimits.unauthenticated(settings)
        self._projects = projects
        smallest = _LARGEST_BODIES * (self._limits.wire_bytes + self._limits.body_bytes)
        self.budget = SenderBudget(max(settings.unauthenticated_limit_bytes, smallest))
        self._share = TimeShare(_TIME_SHARE, time.monotonic, free_seconds=_USUAL_BODY_SECONDS)

    async def receive(self, request: web.Request) -> tuple[str, bytes]:
        """Return a valid token of the body, and the body; raise `UnauthorizedError` if it has none."""
        reservation = self.budget.open()
        try:
            decode = decoder_of(request)
            wire = await self._read(request, decode, reservation)
            return await self._share.run(partial(self._find_token, wire, decode, reservation))
        except BodyTooLargeError:
            raise BodyTooLargeError(self._limits.body_bytes, token_in_headers=False) from None
        finally:
            reservation.release()

    async def _read(self, request: web.Request, decode: Decoder | None, reservation: SenderReservation) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as end:
                reservation.on_give_way = lambda: end.reschedule(loop.time())
                wire = await read_wire(request, decode, self._limits, reservation)
        except TimeoutError:
            raise OverloadedError("unauthenticated") from None
        reservation.received()
        return wire

    def _find_token(self, wire: bytes, decode: Decoder | None, reservation: SenderReservation) -> tuple[str, bytes]:
        body = decoded(wire, decode, self._limits.body_bytes, reservation)
        for token in find_write_keys(body):
            if self._projects.find_and_record_use(token) is not None:
                return token, body
        raise UnauthorizedError
