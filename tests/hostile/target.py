"""A gateway process on a real broker, seen from outside: its replies, memory and log."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.topics import apply
from gateway.projects.admin import create_project, create_token
from schemas.settings import KafkaSettings, TopicSettings, environment
from tests.support.services import eventually

CANARY = "canary-7d1f"
"""Part of every payload; no log may contain it."""
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
REPLY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply."""

    status: int
    head: bytes
    body: bytes

    @property
    def code(self) -> str:
        """The error code, that of the first item when every item is rejected; empty for a success."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return "(no JSON)"
        if "items" in body and body.get("success") is False:
            return str(body["items"][0]["code"])
        return str(body.get("code", ""))


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause between two parts of a request."""

    seconds: float


Parts = Sequence[bytes | Pause]


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway under attack."""

    port: int
    token: str
    pid: int
    log: Path

    def memory_mib(self) -> float:
        """Return its resident memory."""
        return float(psutil.Process(self.pid).memory_info().rss / 2**20)

    def open_files(self) -> int:
        """Return the number of its open files and connections."""
        return int(psutil.Process(self.pid).num_fds())

    def head(self, *lines: str, path: str = "/event/batch", token: str | None = None) -> bytes:
        """Return the head of a POST with a valid token, unless *token* is given, and *lines* at its end."""
        named = f"Authorization: Bearer {self.token if token is None else token}"
        return "\r\n".join([f"POST {path} HTTP/1.1", "Host: gateway", named, *lines, "", ""]).encode()

    def post(self, body: bytes, *lines: str) -> bytes:
        """Return a complete request."""
        return self.head(f"Content-Length: {len(body)}", *lines) + body

    async def exchange(self, *parts: bytes | Pause) -> Reply:
        """Send *parts* until a reply arrives and return it; the sender does not close the connection before."""
        # asyncio's streams lose a reply that has arrived when sending a later part fails.
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(0.0)
            reader = asyncio.StreamReader()
            tasks = [asyncio.create_task(_send(connection, parts)), asyncio.create_task(_receive(connection, reader))]
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    return await read_reply(reader)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _send(connection: socket.socket, parts: Parts) -> None:
    loop = asyncio.get_running_loop()
    for part in parts:
        if isinstance(part, Pause):
            await asyncio.sleep(part.seconds)
        else:
            await loop.sock_sendall(connection, part)


async def _receive(connection: socket.socket, reader: asyncio.StreamReader) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(connection, 65536):
            reader.feed_data(data)
    except OSError as error:
        reader.set_exception(error)
    else:
        reader.feed_eof()


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """Return the next reply."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    return Reply(int(head.split(b" ", 2)[1]), head, body)


@contextmanager
def running_gateway(kafka: KafkaSettings, directory: Path, **variables: str) -> Iterator[Target]:
    """Run a gateway on *kafka* with new topics, and settings from *variables*, for the block."""
    token = asyncio.run(_prepare(kafka))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEQUENCE_")}
    environ |= {**environment(kafka), "SEQUENCE_GATEWAY_PORT": "0", **variables}
    log = directory / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "deploy.cli", "gateway"], env=environ, stderr=output)
    try:
        eventually(lambda: LISTENING.search(log.read_text()) is not None, "the gateway listens")
        found = LISTENING.search(log.read_text())
        assert found is not None
        yield Target(int(found[1]), token, process.pid, log)
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


async def _prepare(kafka: KafkaSettings) -> str:
    await apply(kafka, TopicSettings())
    await create_project(kafka, "dev", "Development")
    return await create_token(kafka, "dev")
