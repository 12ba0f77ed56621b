"""Projects and tokens on a real topic: what the command writes counts in a running gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from gateway.admission import MemoryBudget
from gateway.errors import (
    InvalidProjectError,
    InvalidTokenError,
    ProjectExistsError,
    StartError,
    TokenExistsError,
    UnavailableError,
    UnknownProjectError,
    UnknownTokenError,
)
from gateway.kafka.publisher import KafkaPublisher
from gateway.metrics import GatewayMetrics
from gateway.projects.admin import (
    create_project,
    create_token,
    list_projects,
    list_tokens,
    list_uses,
    read_directory,
    revoke_token,
    rotate_token,
    update_project,
)
from gateway.projects.last_used import TokenLastUsed
from gateway.projects.registry import ProjectRegistry
from gateway.settings import GatewaySettings
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.fakes.kafka_proxy import KafkaProxy
from tests.support import logs


@pytest.fixture
def settings(kafka_settings: KafkaSettings, topics: Topics) -> KafkaSettings:
    assert topics.prefix == kafka_settings.topic_prefix
    return kafka_settings


@pytest.fixture
async def followed(settings: KafkaSettings) -> AsyncIterator[ProjectRegistry]:
    directory = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)
    await directory.start()
    yield directory
    await directory.close()


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what it waits for happens in Kafka
            await asyncio.sleep(0.01)


async def test_a_new_token_counts_within_a_second(settings: KafkaSettings, followed: ProjectRegistry) -> None:
    await create_project(settings, "dev", "Development")
    token = await create_token(settings, "dev")

    await within(1, lambda: followed.find(token) is not None)

    project = followed.find(token)
    assert project is not None
    assert (project.id, project.name) == ("dev", "Development")


async def test_a_revoked_token_stops_counting_within_a_second(
    settings: KafkaSettings, followed: ProjectRegistry
) -> None:
    await create_project(settings, "dev", "Development")
    kept, revoked = await create_token(settings, "dev"), await create_token(settings, "dev")
    await within(1, lambda: followed.find(kept) is not None and followed.find(revoked) is not None)
    tokens = await list_tokens(settings, "dev")

    await revoke_token(settings, next(token.id for token in tokens if revoked.startswith(token.hint[:-1])))

    await within(1, lambda: followed.find(revoked) is None)
    assert followed.find(kept) is not None
    assert sorted(token.revoked_at is None for token in await list_tokens(settings)) == [False, True]


async def test_a_gateway_that_starts_knows_what_was_written_before(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")
    token = await create_token(settings, "dev")
    directory = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)

    await directory.start()

    try:
        assert directory.find(token) is not None
        directory.check()
    finally:
        await directory.close()


async def test_an_expired_token_opens_nothing(settings: KafkaSettings, followed: ProjectRegistry) -> None:
    await create_project(settings, "dev", "Development")
    expires_at = time.time_ns() // 1000 + 1_500_000
    token = await create_token(settings, "dev", expires_at=expires_at)
    await within(1, lambda: followed.find(token) is not None)

    await within(3, lambda: followed.find(token) is None)

    assert time.time_ns() // 1000 >= expires_at


async def test_a_rotated_token_goes_on_for_the_overlap_beside_its_successor(
    settings: KafkaSettings, followed: ProjectRegistry
) -> None:
    await create_project(settings, "dev", "Development")
    old = await create_token(settings, "dev")
    (known,) = await list_tokens(settings)

    new = await rotate_token(settings, known.id, overlap_seconds=2)
    rotated_at = time.monotonic()

    await within(1, lambda: followed.find(new) is not None)
    assert followed.find(old) is not None
    await within(4, lambda: followed.find(old) is None)
    assert time.monotonic() - rotated_at > 1
    assert followed.find(new) is not None
    with pytest.raises(InvalidTokenError, match="expired"):
        await rotate_token(settings, known.id, overlap_seconds=1)


async def test_a_successor_has_scope_and_lifetime_of_its_token_and_does_not_prolong_it(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")
    expires_at = time.time_ns() // 1000 + 3_600_000_000
    await create_token(settings, "dev", expires_at=expires_at, scope="read")
    (old,) = await list_tokens(settings)

    await rotate_token(settings, old.id, overlap_seconds=7 * 86_400)

    first, second = await list_tokens(settings)
    assert (first.id, first.expires_at) == (old.id, expires_at)
    assert second.scope == "read"
    assert (second.expires_at or 0) - second.created_at == expires_at - old.created_at


async def test_the_last_day_of_a_token_is_written_once_by_all_gateways(
    settings: KafkaSettings, topics: Topics, followed: ProjectRegistry
) -> None:
    await create_project(settings, "dev", "Development")
    used, unused = await create_token(settings, "dev"), await create_token(settings, "dev")
    other = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)
    await other.start()
    publisher = KafkaPublisher(
        GatewaySettings(kafka=settings), [topics.projects], GatewayMetrics(), MemoryBudget(2**20)
    )
    await publisher.start()
    first, second = (TokenLastUsed(publisher, source, topics.projects) for source in (followed, other))
    await within(1, lambda: followed.find(used) is not None and other.find(used) is not None)

    await first.record()
    today = datetime.now(UTC).date().isoformat()
    async with asyncio.timeout(5):
        while not any(day for _, day in await list_uses(settings)):
            pass
    await within(2, lambda: used_days(other) == [today])
    written = len(await asyncio.to_thread(logs.read, settings, topics.projects))
    await second.record()
    followed.find(used)
    await first.record()

    assert len(await asyncio.to_thread(logs.read, settings, topics.projects)) == written
    assert {token.hint[:-1]: day for token, day in await list_uses(settings)} == {used[:12]: today, unused[:12]: None}
    await publisher.close()
    await other.close()


def used_days(directory: ProjectRegistry) -> list[str]:
    return [use.day for use in directory._directory.uses.values()]


async def test_a_token_from_elsewhere_is_taken_over_once(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    assert await create_token(settings, "dev", token="an-old-write-key") == "an-old-write-key"

    with pytest.raises(TokenExistsError):
        await create_token(settings, "dev", token="an-old-write-key")
    with pytest.raises(InvalidTokenError):
        await create_token(settings, "dev", token="short")
    with pytest.raises(InvalidTokenError):
        await create_token(settings, "dev", expires_at=1)


async def test_what_names_no_project_or_token_is_refused(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    with pytest.raises(ProjectExistsError):
        await create_project(settings, "dev", "Again")
    with pytest.raises(InvalidProjectError):
        await create_project(settings, "a/b", "Slash")
    for refused in (
        create_token(settings, "other"),
        list_tokens(settings, "other"),
        update_project(settings, "other", disabled=True),
    ):
        with pytest.raises(UnknownProjectError):
            await refused
    with pytest.raises(UnknownTokenError):
        await revoke_token(settings, "0" * 16)
    with pytest.raises(InvalidProjectError):
        await update_project(settings, "dev", items_per_second=-1)
    assert [project.name for project in await list_projects(settings)] == ["Development"]


async def test_a_change_of_a_project_keeps_the_rest_of_it(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    await update_project(settings, "dev", items_per_second=5, burst=50)
    await update_project(settings, "dev", disabled=True)

    project = (await read_directory(settings)).projects["dev"]
    assert (project.name, project.disabled, project.rate()) == ("Development", True, (5, 50))
    await update_project(settings, "dev", items_per_second=0)
    assert (await read_directory(settings)).projects["dev"].rate() is None


async def test_without_the_topic_it_is_named(kafka: str, topic_prefix: str) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix)

    with pytest.raises(StartError, match=rf"{topic_prefix}\.projects\.v1"):
        await create_project(settings, "dev", "Development")
    with pytest.raises(StartError, match=rf"{topic_prefix}\.projects\.v1"):
        await ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10).start()


async def test_without_a_broker_its_address_is_named(unused_tcp_port: int) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{unused_tcp_port}")

    with pytest.raises(UnavailableError, match=str(unused_tcp_port)):
        await create_project(settings, "dev", "Development")
    with pytest.raises(StartError, match=str(unused_tcp_port)):
        await ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=1).start()


async def test_what_is_known_counts_through_an_outage_and_what_was_missed_counts_after_it(
    kafka: str, settings: KafkaSettings
) -> None:
    await create_project(settings, "dev", "Development")
    token = await create_token(settings, "dev")
    proxy = KafkaProxy(kafka)
    await proxy.open()
    behind_proxy = KafkaSettings(bootstrap_servers=proxy.address, topic_prefix=settings.topic_prefix)
    directory = ProjectRegistry(behind_proxy, GatewayMetrics(), start_timeout_seconds=10)
    await directory.start()
    try:
        await proxy.cut()
        later = await create_token(settings, "dev")
        await within(20, lambda: not follows(directory))
        assert directory.find(token) is not None
        assert directory.find(later) is None

        await proxy.open()

        await within(20, lambda: directory.find(later) is not None and follows(directory))
    finally:
        await directory.close()
        await proxy.cut()


def follows(directory: ProjectRegistry) -> bool:
    try:
        directory.check()
    except UnavailableError:
        return False
    return True
