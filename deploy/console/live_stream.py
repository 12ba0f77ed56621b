"""Sends a stream of `/api/live`: the server-sent events `item`, `skipped`, `rates`, `source`, `heartbeat` and `end`."""

from __future__ import annotations

import asyncio
import contextlib
import time

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from deploy.console.access import Access
from deploy.console.live import Live, Stream
from deploy.console.metrics import ConsoleMetrics

TICK_SECONDS = 0.2
ITEMS_PER_TICK = 10
"""A page gets at most 50 items a second: more than a person reads."""
HEARTBEAT_SECONDS = 15.0
SEND_SECONDS = 20.0
"""How long a page may take to read what was sent before its connection is closed."""
_CHECK_SECONDS = 0.5
"""Time after which a stream without news checks whether its token is still valid."""


class LiveSender:
    """Sends streams to their pages."""

    def __init__(self, live: Live, access: Access, metrics: ConsoleMetrics) -> None:
        self._live = live
        self._access = access
        self._metrics = metrics

    async def send(self, request: web.Request, stream: Stream) -> web.StreamResponse:
        """Answer *request* with *stream* until the page or the token is gone, or the console ends."""
        response = EventSourceResponse(sep="\n", send_timeout=SEND_SECONDS, ping_interval=3600)
        try:
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                await self._send(response, stream)
            return response
        finally:
            # A page that leaves cancels this handler; the response's own task would sleep on.
            with contextlib.suppress(RuntimeError):  # it was not prepared
                response.stop_streaming()
            self._live.close(stream)

    async def _send(self, response: EventSourceResponse, stream: Stream) -> None:
        await response.send("{}", event="heartbeat", retry=2000)
        heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
        while not stream.is_closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await stream.wake.wait()
            stream.wake.clear()
            if not self._access.is_valid(stream.viewer):
                await response.send('{"code":"unauthorized"}', event="end")
                return
            await self._send_news(response, stream)
            if time.monotonic() >= heartbeat_at:
                await response.send("{}", event="heartbeat")
                heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
            if stream.waiting:
                stream.wake.set()
            await asyncio.sleep(TICK_SECONDS)

    async def _send_news(self, response: EventSourceResponse, stream: Stream) -> None:
        source, stream.source = stream.source, None
        if source is not None:
            await response.send(source, event="source")
        if (skipped := stream.take_skipped()) is not None:
            await response.send(skipped, event="skipped")
        items = stream.take(ITEMS_PER_TICK)
        for item in items:
            await response.send(item.text, event="item")
        if items:
            self._metrics.sent_items.inc(len(items))
        rates, stream.rates = stream.rates, None
        if rates is not None:
            await response.send(rates, event="rates")
