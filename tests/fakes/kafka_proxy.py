"""A proxy in front of a real broker that can drop connections, withhold all traffic, and hide leaders or topics.

It replaces the broker's address in metadata responses by its own, so that clients stay connected to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from io import BytesIO
from typing import Any

from aiokafka.protocol.metadata import (
    MetadataResponse_v0,
    MetadataResponse_v1,
    MetadataResponse_v3,
    MetadataResponse_v4,
    MetadataResponse_v5,
)

# The worker's own requests at its start.
from processors.engine.permissions import _MetadataResponse as _MetadataWithRights
from processors.engine.topic_ids import _MetadataResponse as _MetadataWithIds

_METADATA = 3
_RESPONSES: dict[int, Any] = {
    response.API_VERSION: response
    for response in (
        MetadataResponse_v0,
        MetadataResponse_v1,
        MetadataResponse_v3,
        MetadataResponse_v4,
        MetadataResponse_v5,
        _MetadataWithRights,
        _MetadataWithIds,
    )
}
_TAGGED_HEADER = 9
"""Version from which the header of a metadata response ends with tagged fields, which are empty."""
_LEADER_NOT_AVAILABLE = 5


class KafkaProxy:
    """A proxy for one broker, listening on one address."""

    def __init__(self, upstream: str) -> None:
        host, port = upstream.rsplit(":", 1)
        self._upstream = (host, int(port))
        self._port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.hides_leaders = False
        self.hidden_responses = 0
        """Metadata responses from which the topics were removed."""
        self.hides_topics = False
        self.produced_requests = 0

    @property
    def address(self) -> str:
        """The address that clients connect to."""
        return f"127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Listen on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Close every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def withhold(self) -> None:
        """Keep connections open and withhold all traffic."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward traffic again, including what `withhold` held back."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        versions: dict[int, int] = {}
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._requests(reader, up_writer, versions))
                    group.create_task(self._responses(up_reader, writer, versions))
            finally:
                up_writer.close()
        except* (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, versions: dict[int, int]
    ) -> None:
        while True:
            frame = await _frame(reader)
            key, version = int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:4], "big")
            if key == _METADATA:
                versions[int.from_bytes(frame[4:8], "big")] = version
            self.produced_requests += key == 0
            await self._flowing.wait()
            await _send(writer, frame)

    async def _responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, versions: dict[int, int]
    ) -> None:
        while True:
            frame = await _frame(reader)
            version = versions.pop(int.from_bytes(frame[:4], "big"), None)
            if version is not None:
                header = 4 if version < _TAGGED_HEADER else 5
                frame = frame[:header] + self._changed(_RESPONSES[version].decode(BytesIO(frame[header:])))
            await self._flowing.wait()
            await _send(writer, frame)

    def _changed(self, metadata: Any) -> bytes:
        metadata.brokers = [(node, "127.0.0.1", self._port, *rest) for node, _, _, *rest in metadata.brokers]
        if self.hides_topics:
            metadata.topics = []
            self.hidden_responses += 1
        # A response with ids is read for them alone.
        if self.hides_leaders and metadata.API_VERSION < _TAGGED_HEADER:
            metadata.topics = [
                (*topic, [(_LEADER_NOT_AVAILABLE, partition, -1, *rest) for _, partition, _, *rest in partitions])
                for *topic, partitions in metadata.topics
            ]
        encoded: bytes = metadata.encode()
        return encoded


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


async def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(len(frame).to_bytes(4, "big") + frame)
    with contextlib.suppress(ConnectionResetError):
        await writer.drain()
