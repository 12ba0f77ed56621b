"""Notices that a server which runs a statement is silent, however long the statement may take.

ClickHouse answers `/ping` on another connection while a statement runs. A server that is suspended accepts connections,
since the system does, and answers neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

PAUSE_SECONDS = 3.0
"""Pause before each ping."""
SILENT_SECONDS = 15.0
"""A server that has answered nothing for this time is silent. A loaded one answers a ping in milliseconds."""

_T = TypeVar("_T")


class SilentError(Exception):
    """The server has answered nothing for `SILENT_SECONDS`."""


class Signs:
    """When the server was last heard of."""

    def __init__(self) -> None:
        self._last = self._now()

    def note(self) -> None:
        """Note that the server has sent something."""
        self._last = self._now()

    def silent_for(self) -> float:
        """Return the seconds since the last sign."""
        return self._now() - self._last

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def guarded(work: Awaitable[_T], ping: Callable[[float], Awaitable[object]], signs: Signs) -> _T:
    """Return the result of *work*, which notes in *signs* what it receives; raises `SilentError`.

    *ping* returns once the server has answered it. It is given its limit in seconds, and raises `TimeoutError` or
    `aiohttp.ClientError`.
    """
    running, watch = asyncio.ensure_future(work), asyncio.ensure_future(_watch(ping, signs))
    try:
        await asyncio.wait([running, watch], return_when=asyncio.FIRST_COMPLETED)
        # An answer that came together with the end of the patience counts.
        if not running.done():
            await watch
        return await running
    finally:
        for task in (running, watch):
            task.cancel()
        await asyncio.gather(running, watch, return_exceptions=True)


async def _watch(ping: Callable[[float], Awaitable[object]], signs: Signs) -> None:
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            await ping(SILENT_SECONDS)
            signs.note()
        except (aiohttp.ClientError, TimeoutError):
            # The answer may be on its way to a reader who has stopped for a while, such as a pager.
            if signs.silent_for() >= SILENT_SECONDS:
                raise SilentError from None
