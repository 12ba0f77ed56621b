"""Requests take turns with their work, one in each round of the event loop.

Checking a request's items takes about as long as everything else that a round has to do. Were all that came together
checked in one round, acknowledgements, which take several rounds from the socket to the reply, would stand behind all
of them each time.
"""

from __future__ import annotations

import asyncio
from collections import deque


class LoopThrottle:
    """Lets one caller go on in each round."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def take(self) -> None:
        """Return when it is the caller's turn: at once where nobody has had this round's, else in order."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            loop.call_soon(self._next, loop)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._taken = False
