"""`sequence gateway` as a process, on a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from gateway.projects.admin import create_project, create_token, list_tokens, revoke_token
from schemas.records import decode_item
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics
from tests.contracts.test_publisher import read_topic
from tests.fakes.kafka_proxy import KafkaProxy
from tests.integration.served import identify, track

LISTENING = re.compile(r"listening on (http://\S+)")


@dataclass
class GatewayProcess:
    """A listening gateway."""

    process: Process
    url: str
    lines: list[str] = field(default_factory=list)


@asynccontextmanager
async def gateway(kafka: KafkaSettings, **variables: str) -> AsyncIterator[GatewayProcess]:
    process = await start({**environment(kafka), "SEQUENCE_GATEWAY_PORT": "0", **variables})
    assert process.stderr is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(30):
            while not (found := LISTENING.search(lines[-1] if lines else "")):
                line = (await process.stderr.readline()).decode()
                assert line, lines
                lines.append(line)
        reading = asyncio.create_task(collect_lines(process.stderr, lines))
        yield GatewayProcess(process, found.group(1), lines)
        reading.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def start(variables: Mapping[str, str]) -> Process:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEQUENCE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "gateway", env={**environ, **variables}, stderr=PIPE
    )


async def collect_lines(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode())


async def post(url: str, token: str, body: object) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/event/batch", json=body, headers=headers) as reply,
    ):
        return reply.status, await reply.json()


@pytest.fixture
async def token(kafka_settings: KafkaSettings, topics: Topics) -> str:
    assert topics.prefix == kafka_settings.topic_prefix
    await create_project(kafka_settings, "dev", "Development")
    return await create_token(kafka_settings, "dev")


async def test_accepted_and_rejected_items_are_on_their_topics_at_the_response(
    kafka_settings: KafkaSettings, topics: Topics, token: str
) -> None:
    batch = [track(messageId="m-1", properties={"price": 1.50}), identify(messageId="m-2"), {"type": "page"}]

    async with gateway(kafka_settings) as running:
        status, reply = await post(running.url, token, {"batch": batch})

        written = await read_topic(kafka_settings.bootstrap_servers, topics.items)
        rejected = await read_topic(kafka_settings.bootstrap_servers, topics.rejected)

    assert (status, reply["accepted"], reply["rejected"]) == (200, 2, 1)
    values = {key: value for records in written.values() for key, value in records}
    items = {key: decode_item(value) for key, value in values.items()}
    assert set(items) == {b"dev/m-1", b"dev/m-2"}
    assert b'"properties":{"price": 1.5' in values[b"dev/m-1"]
    (rejection,) = [json.loads(value) for records in rejected.values() for _, value in records]
    assert (rejection["code"], rejection["content"]) == ("unsupported_type", '{"type": "page"}')


async def test_revoked_token_is_rejected_within_a_second(kafka_settings: KafkaSettings, token: str) -> None:
    async with gateway(kafka_settings) as running:
        assert (await post(running.url, token, {"batch": [track()]}))[0] == 200

        (known,) = await list_tokens(kafka_settings)
        await revoke_token(kafka_settings, known.id)

        async with asyncio.timeout(1):
            while (await post(running.url, token, {"batch": [track()]}))[0] != 401:
                pass


async def test_readiness_follows_the_availability_of_the_broker(kafka: str, token: str, topics: Topics) -> None:
    proxy = KafkaProxy(kafka)
    await proxy.open()
    async with (
        gateway(KafkaSettings(bootstrap_servers=proxy.address, topic_prefix=topics.prefix)) as running,
        aiohttp.ClientSession() as session,
    ):
        await until_ready(session, running.url, 200)
        await proxy.cut()
        await until_ready(session, running.url, 503)
        async with session.get(f"{running.url}/health/live") as live:
            assert live.status == 200

        await proxy.open()

        await until_ready(session, running.url, 200)
        assert (await post(running.url, token, {"batch": [track()]}))[0] == 200
    await proxy.cut()


async def until_ready(session: aiohttp.ClientSession, url: str, status: int) -> None:
    async with asyncio.timeout(30):
        while True:
            async with session.get(f"{url}/health/ready") as reply:
                if reply.status == status:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"SEQUENCE_GATEWAY_PORT": "http", "SEQUENCE_GATEWAY_ITEM_LIMIT_BYTES": "9999999"}, 2, "ITEM_LIMIT_BYTES"),
        ({"SEQUENCE_KAFKA_SERVERS": "127.0.0.1:1", "SEQUENCE_GATEWAY_START_TIMEOUT_SECONDS": "1"}, 1, "127.0.0.1:1"),
    ],
)
async def test_start_failure_has_a_message_and_an_exit_code(variables: dict[str, str], code: int, said: str) -> None:
    process = await start(variables)

    _, error = await process.communicate()

    assert process.returncode == code
    assert said in error.decode()
    assert "Traceback" not in error.decode()


async def test_port_in_use_is_named_with_its_setting(kafka_settings: KafkaSettings, topics: Topics) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])

    process = await start({**environment(kafka_settings), "SEQUENCE_GATEWAY_PORT": port})
    _, error = await process.communicate()
    server.close()

    assert process.returncode == 1
    assert f"127.0.0.1:{port} (SEQUENCE_GATEWAY_HOST, SEQUENCE_GATEWAY_PORT)" in error.decode()
