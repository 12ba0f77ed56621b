"""A proxy before ClickHouse's HTTP port that delays or holds INSERTs, or drops the responses to them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.support.proxy_servers import StreamServer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class InsertProxy(StreamServer):
    """Listens on one address, with an event loop in a thread. Attributes may be read and set at any time."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        url = urlsplit(upstream)
        self._upstream = (url.hostname or "127.0.0.1", url.port or 8123)
        self._gate = asyncio.Event()
        self._gate.set()
        self.responses_to_lose = 0
        """Number of INSERTs that are executed and whose connection the proxy closes without a response."""
        self.only_joint = False
        """Whether only INSERTs of several blocks lose their responses. Their rows are sent again with other tokens."""
        self.responses_lost = 0
        self.delay_seconds = 0.0
        """Delay before each INSERT is forwarded."""
        self.midway: Callable[[], None] | None = None
        """Called once, in a thread, after `midway_share` of the next INSERT has been forwarded."""
        self.midway_share = 0.5
        self.inserts = 0
        """Number of INSERTs received."""
        self.held = 0
        """Number of INSERTs held by `hold`."""
        self.released = 0
        """Number of held INSERTs that ClickHouse has answered since."""

    @property
    def address(self) -> str:
        """The URL on which it listens."""
        return f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Forward no INSERT until `release`, which forwards held INSERTs even if their sender has disconnected."""
        self._thread.loop.call_soon_threadsafe(self._gate.clear)

    def release(self) -> None:
        """Forward the held INSERTs."""
        self._thread.loop.call_soon_threadsafe(self._gate.set)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.close()
            return
        try:
            with contextlib.suppress(OSError, EOFError):
                while await self._forward(reader, writer, up_reader, up_writer):
                    pass
        finally:
            up_writer.close()
            writer.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        """Forward one request and its response; return whether the connection stays open."""
        request = await _message(reader)
        request_line = request.partition(b"\r\n")[0]
        insert = b"INSERT" in request_line
        self.inserts += insert
        held = insert and not self._gate.is_set()
        if held:
            self.held += 1
            await self._gate.wait()
        if insert and self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if insert and self.midway is not None:
            forwarded = int(len(request) * self.midway_share)
            up_writer.write(request[:forwarded])
            await up_writer.drain()
            midway, self.midway = self.midway, None
            if midway is not None:
                await asyncio.to_thread(midway)
            request = request[forwarded:]
        up_writer.write(request)
        await up_writer.drain()
        response = await _message(up_reader)
        self.released += held
        if insert and self.responses_to_lose > 0 and (not self.only_joint or _is_joint(request_line)):
            self.responses_to_lose -= 1
            self.responses_lost += 1
            return False
        writer.write(response)
        await writer.drain()
        return True


def _is_joint(request_line: bytes) -> bool:
    """Return whether the deduplication token names several blocks."""
    return len(re.findall(rb"sequence(?::|%3A)\w+(?::|%3A)", request_line)) > 1


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Return one complete HTTP request or response."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        chunks = [head]
        while True:
            size = await reader.readuntil(b"\r\n")
            chunk = await reader.readexactly(int(size, 16) + 2)
            chunks += [size, chunk]
            if int(size, 16) == 0:
                return b"".join(chunks)
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
