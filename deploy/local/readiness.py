"""How it is found out that a part is ready. Every probe answers with a bool, and within a few seconds."""

from __future__ import annotations

import asyncio

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

_PATIENCE_SECONDS = 3.0


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


async def group_is_stable(address: str, group: str, members: int) -> bool:
    """Return whether consumer group *group* has handed out its partitions to at least *members* workers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=2000)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await admin.start()
            (response,) = await admin.describe_consumer_groups([group])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
    (description,) = response.to_object()["groups"]
    return description["state"] == "Stable" and len(description["members"]) >= members


async def http_answers(url: str) -> bool:
    """Return whether *url* answers with status 200."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
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
