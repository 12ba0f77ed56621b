"""Readiness probes: each answers whether one service of the local stack is ready, within a few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from gateway.errors import KafkaDiskLowError
from schemas.addresses import bare_host

PROBE_TIMEOUT_SECONDS = 3.0


class Probe(Protocol):
    """Tells when a service is ready."""

    async def prepare(self) -> None:
        """Record what `ready` compares with; called before every start of the service."""

    async def ready(self) -> bool:
        """Return whether the service is ready; called repeatedly after the start."""


@dataclass(frozen=True, slots=True)
class KafkaProbe:
    """Ready when the broker at *address* answers and is registered in its cluster.

    Until it is registered, new topics get no replicas on it.
    """

    address: str

    async def prepare(self) -> None:
        """Do nothing: the answer depends on the broker alone."""

    async def ready(self) -> bool:
        """Return whether the broker answers with its own registration."""
        if not await _accepts_connections(self.address):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=2000)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await admin.start()
                cluster = await admin.describe_cluster()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()
        return len(cluster["brokers"]) > 0


@dataclass(frozen=True, slots=True)
class BrokerProbe(KafkaProbe):
    """That of a broker of a cluster, which may have lost its data while the others run."""

    format: Callable[[], None]
    """Formats the brokers without data."""

    async def prepare(self) -> None:
        """Format the broker if it has no data."""
        await asyncio.to_thread(self.format)


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Ready when *url*, on this machine, answers with status 200."""

    url: str

    async def prepare(self) -> None:
        """Do nothing: the answer depends on the server alone."""

    async def ready(self) -> bool:
        """Return whether the URL answers with status 200."""
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_SECONDS)
        try:
            # The certificate names the public host, not 127.0.0.1; the probe sends no secret.
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url, ssl=False) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


@dataclass(frozen=True, slots=True)
class GatewayProbe:
    """Ready when the gateway at *url* can store items, or refuses them only for the disk of a broker.

    The stack starts on a disk that is nearly full, so that what is stored can be queried.
    """

    url: str

    async def prepare(self) -> None:
        """Do nothing: the answer depends on the gateway alone."""

    async def ready(self) -> bool:
        """Return whether the gateway runs as well as the disk lets it."""
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.url}/health/ready", ssl=False) as response,  # as of `HttpProbe`
            ):
                return response.status == 200 or KafkaDiskLowError.code in await response.text(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


async def _accepts_connections(address: str) -> bool:
    """Return whether *address* accepts connections; checked first because aiokafka logs an error when it does not."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(bare_host(host), int(port)), PROBE_TIMEOUT_SECONDS)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
