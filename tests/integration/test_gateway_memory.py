"""Memory of a request that waits for Kafka."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from gateway.http import ingest_handler
from gateway.http.ingest_handler import IngestHandler, Received
from gateway.ingest.body import read_body
from gateway.settings import GatewaySettings
from tests.integration.served import serving, track


@pytest.mark.parametrize("path", ["/b", "/b?verbose=1"], ids=["direct", "by aiohttp"])
async def test_request_that_waits_for_kafka_has_freed_its_body(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []
    receive = IngestHandler.receive

    def received(handler: IngestHandler, token: str, body: bytes) -> Received:
        bodies.append(body)
        return receive(handler, token, body)

    async def read(*arguments: Any) -> bytes:
        bodies.append(await read_body(*arguments))
        return bodies[-1]

    monkeypatch.setattr(ingest_handler, "read_body", read)
    monkeypatch.setattr(IngestHandler, "receive", received)
    async with serving(GatewaySettings()) as gateway:
        gateway.publisher.hold()
        request = asyncio.create_task(gateway.post(path, {"batch": [track()]}))
        async with asyncio.timeout(5):
            while not bodies or gateway.budget.reserved_bytes:  # noqa: ASYNC110  # the other side of a socket counts it
                await asyncio.sleep(0.005)

        references = sys.getrefcount(bodies[0])
        assert not request.done()
        assert references == 2, "one of the list, one of getrefcount"
        gateway.publisher.resume()
        assert (await request).status == 200
