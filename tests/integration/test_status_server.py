"""The HTTP server of a worker: it answers three paths, and no client can hold it or its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from processors.engine.health import Unready
from processors.engine.status_server import CONNECTION_SECONDS, CONNECTIONS, StatusServer, listen


class ScriptedHealth:
    """A health that the test sets."""

    def __init__(self) -> None:
        self.now: Unready | None = None

    def unready(self) -> Unready | None:
        return self.now


class Worker:
    """A worker with a status server."""

    def __init__(self) -> None:
        self.health = ScriptedHealth()
        self.body = b"one 1\n"
        listening = listen("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        self.server = StatusServer(listening, self.health, self._metrics)  # type: ignore[arg-type]  # it has one method

    async def _metrics(self) -> bytes:
        if not self.body:
            raise LookupError("a bug")
        return self.body

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, request: bytes) -> bytes:
        """Return everything that the server answers until it closes the connection."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), 2 * CONNECTION_SECONDS)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    async def get(self, path: str) -> bytes:
        return await self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_paths_are_answered_and_each_connection_is_closed(worker: Worker) -> None:
    metrics = await worker.get("/metrics")

    assert metrics.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert metrics.endswith(b"\r\n\r\none 1\n")
    assert b"Connection: close" in metrics
    assert (await worker.get("/health/live")).endswith(b'{"status":"alive"}')
    assert (await worker.get("/health/ready")).endswith(b'{"status":"ready"}')


async def test_worker_that_is_not_ready_says_why(worker: Worker) -> None:
    worker.health.now = Unready("recovering", "3 records remain.")

    answer = await worker.get("/health/ready")

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b'{"status":"recovering","message":"3 records remain."}')


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"400"),
    ],
    ids=["unknown path", "method", "TLS", "large header"],
)
async def test_wrong_request_is_refused_without_a_log_line(
    worker: Worker, caplog: pytest.LogCaptureFixture, request_: bytes, status: bytes
) -> None:
    assert (await worker.send(request_)).split(b" ")[1] == status
    assert caplog.text == ""


async def test_error_of_a_request_is_logged_and_answered(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.body = b""

    assert (await worker.get("/metrics")).startswith(b"HTTP/1.1 500 ")
    assert "cannot answer /metrics" in caplog.text
    assert (await worker.get("/health/live")).startswith(b"HTTP/1.1 200 ")


async def test_idle_connections_are_closed_and_more_are_refused(worker: Worker) -> None:
    began = monotonic()
    idle = [await worker.connect() for _ in range(CONNECTIONS)]

    assert await worker.get("/health/live") == b""
    for reader, writer in idle:
        assert await asyncio.wait_for(reader.read(), 2 * CONNECTION_SECONDS) == b""
        writer.close()
    assert CONNECTION_SECONDS - 0.5 < monotonic() - began < CONNECTION_SECONDS + 2
    assert (await worker.get("/health/live")).startswith(b"HTTP/1.1 200 ")


async def test_client_that_does_not_read_loses_its_connection(worker: Worker) -> None:
    worker.body = b"x" * 50_000_000
    _, writer = await worker.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0)
    http = worker.server._http
    assert http is not None
    async with asyncio.timeout(2 * CONNECTION_SECONDS):
        while not http.connections:  # noqa: ASYNC110  # as below
            await asyncio.sleep(0.01)
        while http.connections:  # noqa: ASYNC110  # a server of another library
            await asyncio.sleep(0.05)
    writer.close()
