"""SIGTERM to `sequence gateway`: readiness, the shutdown delay, requests in flight, and the limit of 20 s."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.projects.admin import create_project, create_token
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.contracts.test_publisher import read_topic
from tests.fakes.kafka_proxy import KafkaProxy
from tests.integration.served import track
from tests.integration.test_gateway_process import GatewayProcess, gateway, post


@pytest.fixture
async def token(kafka_settings: KafkaSettings, topics: Topics) -> str:
    assert topics.prefix == kafka_settings.topic_prefix
    await create_project(kafka_settings, "dev", "Development")
    return await create_token(kafka_settings, "dev")


@pytest.fixture
async def proxy(kafka: str) -> AsyncIterator[KafkaProxy]:
    proxy = KafkaProxy(kafka)
    await proxy.open()
    yield proxy
    await proxy.cut()


def behind(proxy: KafkaProxy, topics: Topics) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=proxy.address, topic_prefix=topics.prefix)


async def keys(kafka: str, topics: Topics) -> list[bytes]:
    written = await read_topic(kafka, topics.items)
    return sorted(key for records in written.values() for key, _ in records)


async def until_line(running: GatewayProcess, text: str) -> None:
    """Wait for a line of the log."""
    async with asyncio.timeout(10):
        while not any(text in line for line in running.lines):  # noqa: ASYNC110  # lines of a process
            await asyncio.sleep(0.01)


async def until_held(session: aiohttp.ClientSession, url: str) -> None:
    """Wait until a request is in flight."""
    async with asyncio.timeout(10):
        while True:
            async with session.get(f"{url}/metrics") as reply:
                if "sequence_gateway_in_flight_bytes 0.0" not in await reply.text():
                    return
            await asyncio.sleep(0.01)


async def test_readiness_fails_first_while_new_requests_are_served(
    kafka: str, kafka_settings: KafkaSettings, token: str, topics: Topics
) -> None:
    variables = {"SEQUENCE_GATEWAY_SHUTDOWN_DELAY_SECONDS": "10"}
    headers = {"Authorization": f"Bearer {token}"}
    async with gateway(kafka_settings, **variables) as running, aiohttp.ClientSession(running.url) as session:
        for number, connection in ((1, "keep-alive"), (2, "close")):
            async with session.post("/b", json={"batch": [track(messageId=f"m-{number}")]}, headers=headers) as reply:
                assert (reply.status, reply.headers.get("Connection", "keep-alive")) == (200, connection)
            if number == 1:
                running.process.send_signal(signal.SIGTERM)
                await until_line(running, "draining")
        async with session.get("/health/ready") as ready:
            assert (ready.status, (await ready.json())["code"]) == (503, "shutting_down")
        async with session.get("/health/live") as live:
            assert live.status == 200
        assert (await post(running.url, token, {"batch": [track(messageId="m-3")]}))[0] == 200

        running.process.send_signal(signal.SIGTERM)  # ends the delay

        async with asyncio.timeout(8):
            assert await running.process.wait() == 0
    assert await keys(kafka, topics) == [b"dev/m-1", b"dev/m-2", b"dev/m-3"]


async def test_requests_in_flight_at_sigterm_are_answered_and_stored(
    kafka: str, proxy: KafkaProxy, token: str, topics: Topics
) -> None:
    variables = {"SEQUENCE_GATEWAY_SHUTDOWN_DELAY_SECONDS": "0"}
    async with gateway(behind(proxy, topics), **variables) as running, aiohttp.ClientSession() as session:
        async with session.get(f"{running.url}/health/ready") as ready:
            assert ready.status == 200
        proxy.withhold()
        request = asyncio.create_task(post(running.url, token, {"batch": [track(messageId="last")]}))
        await until_held(session, running.url)

        running.process.send_signal(signal.SIGTERM)
        await until_line(running, "closing the listener")
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(running.url, token, {"batch": [track(messageId="refused")]})
        proxy.resume()

        assert (await request)[0] == 200
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0
    assert await keys(kafka, topics) == [b"dev/last"]


@pytest.mark.parametrize("outage", ["down", "mute"])
async def test_sigterm_in_an_outage_answers_requests_and_exits_within_20_seconds(
    proxy: KafkaProxy, token: str, topics: Topics, outage: str
) -> None:
    async with gateway(behind(proxy, topics)) as running, aiohttp.ClientSession() as session:
        if outage == "down":
            await proxy.cut()
        else:
            proxy.withhold()
        request = asyncio.create_task(post(running.url, token, {"batch": [track()]}))
        await until_held(session, running.url)
        started = time.monotonic()

        running.process.send_signal(signal.SIGTERM)

        status, reply = await request
        assert (status, reply["code"]) == (503, "not_acknowledged_in_time")
        assert await running.process.wait() == 0
        assert time.monotonic() - started < 20


async def test_request_that_does_not_end_is_cancelled_within_20_seconds(
    proxy: KafkaProxy, token: str, topics: Topics
) -> None:
    variables = {
        "SEQUENCE_GATEWAY_BODY_STALL_TIMEOUT_SECONDS": "600",
        "SEQUENCE_GATEWAY_PUBLISH_TIMEOUT_SECONDS": "600",
        "SEQUENCE_GATEWAY_DELIVERY_TIMEOUT_SECONDS": "600",
    }
    async with gateway(behind(proxy, topics), **variables) as running, aiohttp.ClientSession() as session:
        proxy.withhold()
        unacknowledged = asyncio.create_task(post(running.url, token, {"batch": [track()]}))
        await until_held(session, running.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
        writer.write(b"POST /b HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %b\r\n" % token.encode())
        writer.write(b"Content-Length: 100\r\n\r\n{")
        await writer.drain()
        started = time.monotonic()

        running.process.send_signal(signal.SIGTERM)

        assert await running.process.wait() == 0
        assert time.monotonic() - started < 20
        with pytest.raises(aiohttp.ClientError):
            await unacknowledged
        await reader.read()
        writer.close()
    assert any("requests that did not finish" in line for line in running.lines)


def test_process_exits_at_the_limit_although_the_event_loop_hangs() -> None:
    hanging = """
import asyncio, time
from gateway.shutdown import exit_after

async def hang():
    exit_after(0.2)
    time.sleep(600)

asyncio.run(hang())
"""

    ended = subprocess.run([sys.executable, "-c", hanging], capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert "shutdown exceeded 0.2 s" in ended.stderr
