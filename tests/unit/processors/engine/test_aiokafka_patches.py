"""What becomes of a request to a connection that uvloop has closed already."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from processors.engine.connections import patch_closed_transport_error


class ClosedWriter:
    """Refuses as uvloop's transport does."""

    def write(self, data: bytes) -> None:
        del data
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def close(self) -> None: ...


async def test_a_request_to_a_closed_connection_is_told_as_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaConnection, "send", AIOKafkaConnection.send)
    patch_closed_transport_error()
    connection: Any = AIOKafkaConnection("127.0.0.1", 9092)
    connection._writer = connection._reader = ClosedWriter()
    connection._versions = {3: (0, 1)}
    connection._read_task = asyncio.get_running_loop().create_task(asyncio.sleep(0))

    with pytest.raises(KafkaConnectionError):
        connection.send(MetadataRequest([]))
    assert not connection.connected()
