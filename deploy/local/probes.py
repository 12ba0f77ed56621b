"""How it is found out that a part is ready. Every probe answers with a bool, and within a few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

IsReady = Callable[[], Awaitable[bool]]

_PATIENCE_SECONDS = 3.0


def always(question: IsReady) -> Callable[[], Awaitable[IsReady]]:
    """Return what gives the same *question* before every start of a part."""

    async def give() -> IsReady:
        return question

    return give


async def kafka_answers(address: str) -> bool:
    """Return whether the broker at *address* answers and takes part in its cluster: before, it gets no partitions."""
    if not await _listens(address):
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=2000)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await admin.start()
            cluster = await admin.describe_cluster()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
    return len(cluster["brokers"]) > 0


async def group_gains_member(address: str, group: str, members: int) -> IsReady:
    """Return the question whether consumer group *group* has a member that it has not now, and *members* in all.

    A worker that was killed counts as a member until its session is over, so that a number alone would tell nothing.
    """
    _, before = await _group(address, group)

    async def is_ready() -> bool:
        state, now = await _group(address, group)
        return state == "Stable" and len(now) >= members and not now <= before

    return is_ready


async def _group(address: str, group: str) -> tuple[str, frozenset[str]]:
    """Return the group's state and the ids of its members; nothing where Kafka does not say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=2000)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await admin.start()
            (response,) = await admin.describe_consumer_groups([group])
    except (KafkaError, OSError, TimeoutError):
        return "", frozenset()
    finally:
        await admin.close()
    (description,) = response.to_object()["groups"]
    return description["state"], frozenset(member["member_id"] for member in description["members"])


async def http_answers(url: str) -> bool:
    """Return whether *url*, which is on this machine, answers with status 200."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
    try:
        # A certificate is for the name that producers know; and nothing is told here that a stranger may not hear.
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=False) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def _listens(address: str) -> bool:
    """Return whether *address* takes connections: asked first, because aiokafka logs an error where it does not."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), _PATIENCE_SECONDS)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
