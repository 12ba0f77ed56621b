"""A broker whose disk becomes nearly full: gateways refuse requests in time, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest

from deploy.local.probes import GatewayProbe, HttpProbe
from deploy.operate import kafka_reader
from deploy.topics import apply
from gateway.disk import Answer, Volume
from gateway.projects.admin import create_project, create_token
from gateway.settings import GatewaySettings
from schemas.settings import KafkaSettings, TopicSettings
from schemas.topics import Topics
from tests.contracts.test_publisher import read_topic
from tests.integration.served import Served, serving, track
from tests.integration.test_gateway_process import GatewayProcess, gateway
from tests.support.services import Service, embedded_kafka, running

MIB = 1024**2
PARTITIONS = 4


@dataclass
class Disk:
    """The file system of a broker. Between *limit_bytes* and the free space is more than other tests write."""

    directory: Path
    limit_bytes: int
    ballast_bytes: int
    """Bytes that leave less than the limit free."""

    @property
    def ballast(self) -> Path:
        return self.directory / "ballast"

    def fill(self) -> None:
        with self.ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.ballast_bytes)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A file system of 384 MiB where this machine lets the test mount one, otherwise the disk of the tests."""
    directory = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=384m", "tmpfs", str(directory)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        status = os.statvfs(directory)
        free = status.f_bavail * status.f_frsize
        limit = free // 2 if is_mounted else free - 1280 * MIB
        yield Disk(directory, limit, free - limit + (32 if is_mounted else 256) * MIB)
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture(scope="module")
def broker(disk: Disk) -> Iterator[Service]:
    with running(embedded_kafka(disk.directory)) as service:
        yield service


@pytest.fixture
async def small(broker: Service, disk: Disk) -> AsyncIterator[KafkaSettings]:
    """The broker with topics of this test alone."""
    kafka = KafkaSettings(bootstrap_servers=broker.address, topic_prefix=f"t-{secrets.token_hex(4)}")
    await apply(kafka, TopicSettings(partitions=PARTITIONS))
    await create_project(kafka, "dev", "Development")
    yield kafka
    disk.ballast.unlink(missing_ok=True)


@dataclass
class Sender:
    """Sends items one request after another, each until it is accepted, as an SDK does."""

    url: str
    token: str
    acknowledged: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    retry_after: set[str] = field(default_factory=set)

    async def send(self, session: aiohttp.ClientSession) -> None:
        number = 0
        while True:
            number += 1
            ids = [f"m-{number}-{item}" for item in range(5)]
            while not await self._accepted(session, ids):  # noqa: ASYNC110  # an answer of the gateway
                await asyncio.sleep(0.02)  # as an SDK waits before it repeats a request

    async def _accepted(self, session: aiohttp.ClientSession, ids: list[str]) -> bool:
        body = {"batch": [track(messageId=each, properties={"text": "x" * 1000}) for each in ids]}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with session.post(f"{self.url}/event/batch", json=body, headers=headers) as reply:
            answer = await reply.json()
            if reply.status == 200:
                self.acknowledged += ids
                return True
            self.refused[answer["code"]] += 1
            self.retry_after.add(reply.headers["Retry-After"])
            return False

    async def until_accepted(self) -> None:
        """Return when twenty requests more are accepted."""
        wanted = len(self.acknowledged) + 100
        async with asyncio.timeout(30):
            while len(self.acknowledged) < wanted:  # noqa: ASYNC110  # answers of the gateway
                await asyncio.sleep(0.01)

    async def until_refused(self) -> None:
        """Return when ten requests one after another were refused."""
        wanted = self.refused.total() + 10
        async with asyncio.timeout(30):
            while self.refused.total() < wanted:  # noqa: ASYNC110  # answers of the gateway
                await asyncio.sleep(0.01)


@asynccontextmanager
async def sending(running_gateway: GatewayProcess, token: str) -> AsyncIterator[Sender]:
    async with aiohttp.ClientSession() as session:
        sender = Sender(running_gateway.url, token)
        task = asyncio.create_task(sender.send(session))
        try:
            await sender.until_accepted()
            yield sender
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return reply.status, await reply.text()


async def stored(kafka: KafkaSettings) -> Counter[str]:
    """Return the messageIds on `items.v1`."""
    records = await read_topic(kafka.bootstrap_servers, Topics(kafka.topic_prefix).items)
    return Counter(key.removeprefix(b"dev/").decode() for of_one in records.values() for key, _ in of_one)


async def test_nearly_full_disk_refuses_requests_and_loses_and_doubles_nothing(
    small: KafkaSettings, disk: Disk
) -> None:
    token = await create_token(small, "dev")
    async with (
        gateway(replace(small, min_free_bytes=disk.limit_bytes)) as running_gateway,
        sending(running_gateway, token) as sender,
    ):
        disk.fill()
        await sender.until_refused()
        before = len(sender.acknowledged)
        await sender.until_refused()
        assert len(sender.acknowledged) == before, "every request is refused"
        status, text = await get(f"{running_gateway.url}/health/ready")
        assert (status, "kafka_disk_low" in text, "broker 1 has" in text) == (503, True, True)
        assert "\nsequence_gateway_kafka_disk_low 1.0\n" in (await get(f"{running_gateway.url}/metrics"))[1]

        disk.ballast.unlink()
        await sender.until_accepted()
        assert (await get(f"{running_gateway.url}/health/ready"))[0] == 200

    assert sender.refused.keys() == {"kafka_disk_low"}
    assert sender.retry_after == {"10"}
    found = await stored(small)
    # The last request may have been stored without its answer.
    assert found.keys() >= set(sender.acknowledged)
    assert len(found) - len(sender.acknowledged) in {0, 5}
    assert set(found.values()) == {1}
    assert sum("refusing requests with 503" in line for line in running_gateway.lines) == 1
    assert sum("accepting requests again" in line for line in running_gateway.lines) == 1


async def test_control_without_the_limit_requests_are_accepted(small: KafkaSettings, disk: Disk) -> None:
    token = await create_token(small, "dev")
    async with (
        gateway(replace(small, min_free_bytes=0)) as running_gateway,
        sending(running_gateway, token) as sender,
    ):
        disk.fill()
        await sender.until_accepted()
        await asyncio.sleep(1.5)  # longer than the time between two questions near the limit
        await sender.until_accepted()

    assert not sender.refused


async def test_broker_tells_the_free_space_of_its_own_file_system(small: KafkaSettings, disk: Disk) -> None:
    topics = dict.fromkeys(Topics(small.topic_prefix).every, PARTITIONS)
    async with kafka_reader.connected(small) as reader:
        (found,) = await reader.disks(topics)
        (other,) = await reader.disks({"of-another-pipeline": 1})

    (volume,) = found.volumes
    status = os.statvfs(disk.directory)
    assert volume.total_bytes == status.f_blocks * status.f_frsize
    assert abs(volume.free_bytes - status.f_bavail * status.f_frsize) < 64 * MIB
    assert Path(volume.directory).is_relative_to(disk.directory)
    assert other == Answer(1, [])


def told(free_bytes: int) -> list[Answer]:
    return [Answer(1, [Volume(1, "/kafka", free_bytes, 100_000)])]


async def refused(served: Served) -> list[tuple[int, str]]:
    """Return the answers to a request that aiohttp does not see, to one that it sees, and to the probe."""
    direct = await served.post("/event/batch", {"batch": [track()]})
    by_aiohttp = await served.post("/event/batch?verbose=1", {"batch": [track()]})
    ready = await served.get("/health/ready")
    return [(each.status, each.json.get("code", "")) for each in (direct, by_aiohttp, ready)]


@pytest.mark.parametrize(("free", "accepts"), [(1000, True), (999, False)])
async def test_every_way_into_the_gateway_follows_the_disk(free: int, accepts: bool) -> None:  # noqa: FBT001
    async with serving(GatewaySettings(kafka=KafkaSettings(min_free_bytes=1000)), answers=told(free)) as served:
        answers = await refused(served)
        assert answers == [(200, "")] * 3 if accepts else answers == [(503, "kafka_disk_low")] * 3
        assert len(served.written()) == (2 if accepts else 0)
        assert (await served.post("/b", {"batch": [track()]}, headers={})).status == 401
        assert (await served.get("/health/live")).status == 200


async def test_local_stack_starts_with_a_gateway_that_refuses_only_for_the_disk() -> None:
    async with serving(GatewaySettings(kafka=KafkaSettings(min_free_bytes=1000)), answers=told(999)) as served:
        url = f"http://127.0.0.1:{served.port}"
        assert await GatewayProbe(url).ready()
        assert not await HttpProbe(f"{url}/health/ready").ready(), "control: the probe of the other services"
    async with serving() as served:
        url = f"http://127.0.0.1:{served.port}"
        served.publisher.reachable = False
        assert not await GatewayProbe(url).ready()
    assert not await GatewayProbe(url).ready()
