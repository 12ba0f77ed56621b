"""Projects and tokens on a real topic: changes made by the CLI take effect in a running gateway."""

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
    list_tokens_with_last_use,
    read_table,
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
async def registry(settings: KafkaSettings) -> AsyncIterator[ProjectRegistry]:
    registry = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)
    await registry.start()
    yield registry
    await registry.close()


async def within(seconds: float, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what it waits for happens in Kafka
            await asyncio.sleep(0.01)


async def test_new_token_is_valid_within_a_second(settings: KafkaSettings, registry: ProjectRegistry) -> None:
    await create_project(settings, "dev", "Development")
    token = await create_token(settings, "dev")

    await within(1, lambda: registry.find_and_record_use(token) is not None)

    grant = registry.find_and_record_use(token)
    assert grant is not None
    project = grant.project
    assert (project.id, project.name) == ("dev", "Development")


async def test_revoked_token_is_invalid_within_a_second(settings: KafkaSettings, registry: ProjectRegistry) -> None:
    await create_project(settings, "dev", "Development")
    kept, revoked = await create_token(settings, "dev"), await create_token(settings, "dev")
    await within(
        1, lambda: registry.find_and_record_use(kept) is not None and registry.find_and_record_use(revoked) is not None
    )
    tokens = await list_tokens(settings, "dev")

    await revoke_token(settings, next(token.id for token in tokens if revoked.startswith(token.hint[:-1])))

    await within(1, lambda: registry.find_and_record_use(revoked) is None)
    assert registry.find_and_record_use(kept) is not None
    assert sorted(token.revoked_at is None for token in await list_tokens(settings)) == [False, True]


async def test_registry_loads_existing_projects_at_startup(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")
    token = await create_token(settings, "dev")
    registry = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)

    await registry.start()

    try:
        assert registry.find_and_record_use(token) is not None
        registry.check()
    finally:
        await registry.close()


async def test_expired_token_is_invalid(settings: KafkaSettings, registry: ProjectRegistry) -> None:
    await create_project(settings, "dev", "Development")
    expires_at = time.time_ns() // 1000 + 1_500_000
    token = await create_token(settings, "dev", expires_at=expires_at)
    await within(1, lambda: registry.find_and_record_use(token) is not None)

    await within(3, lambda: registry.find_and_record_use(token) is None)

    assert time.time_ns() // 1000 >= expires_at


async def test_rotated_token_stays_valid_for_the_overlap(settings: KafkaSettings, registry: ProjectRegistry) -> None:
    await create_project(settings, "dev", "Development")
    old = await create_token(settings, "dev")
    (known,) = await list_tokens(settings)

    new = await rotate_token(settings, known.id, overlap_seconds=2)
    rotated_at = time.monotonic()

    await within(1, lambda: registry.find_and_record_use(new) is not None)
    assert registry.find_and_record_use(old) is not None
    await within(4, lambda: registry.find_and_record_use(old) is None)
    assert time.monotonic() - rotated_at > 1
    assert registry.find_and_record_use(new) is not None
    with pytest.raises(InvalidTokenError, match="expired"):
        await rotate_token(settings, known.id, overlap_seconds=1)


async def test_rotation_keeps_scope_and_lifetime_and_does_not_extend_the_old_token(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")
    expires_at = time.time_ns() // 1000 + 3_600_000_000
    await create_token(settings, "dev", expires_at=expires_at, scope="read")
    (old,) = await list_tokens(settings)

    await rotate_token(settings, old.id, overlap_seconds=7 * 86_400)

    first, second = await list_tokens(settings)
    assert (first.id, first.expires_at) == (old.id, expires_at)
    assert second.scope == "read"
    assert (second.expires_at or 0) - second.created_at == expires_at - old.created_at


async def test_last_use_of_a_token_is_recorded_once_by_all_gateways(
    settings: KafkaSettings, topics: Topics, registry: ProjectRegistry
) -> None:
    await create_project(settings, "dev", "Development")
    used, unused = await create_token(settings, "dev"), await create_token(settings, "dev")
    other = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)
    await other.start()
    publisher = KafkaPublisher(
        GatewaySettings(kafka=settings), [topics.projects], GatewayMetrics(), MemoryBudget(2**20)
    )
    await publisher.start()
    first, second = (TokenLastUsed(publisher, source, topics.projects) for source in (registry, other))
    await within(
        1, lambda: registry.find_and_record_use(used) is not None and other.find_and_record_use(used) is not None
    )

    await first.record()
    today = datetime.now(UTC).date().isoformat()
    async with asyncio.timeout(5):
        while not any(day for _, day in await list_tokens_with_last_use(settings)):
            pass
    await within(2, lambda: used_days(other) == [today])
    written = len(await asyncio.to_thread(logs.read, settings, topics.projects))
    await second.record()
    registry.find_and_record_use(used)
    await first.record()

    assert len(await asyncio.to_thread(logs.read, settings, topics.projects)) == written
    assert {token.hint[:-1]: day for token, day in await list_tokens_with_last_use(settings)} == {
        used[:12]: today,
        unused[:12]: None,
    }
    await publisher.close()
    await other.close()


def used_days(registry: ProjectRegistry) -> list[str]:
    return [use.day for use in registry._table.uses.values()]


async def test_existing_secret_can_be_registered_once(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    assert await create_token(settings, "dev", token="an-old-write-key") == "an-old-write-key"

    with pytest.raises(TokenExistsError):
        await create_token(settings, "dev", token="an-old-write-key")
    with pytest.raises(InvalidTokenError):
        await create_token(settings, "dev", token="short")
    with pytest.raises(InvalidTokenError):
        await create_token(settings, "dev", expires_at=1)


async def test_unknown_projects_and_tokens_are_rejected(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    with pytest.raises(ProjectExistsError):
        await create_project(settings, "dev", "Again")
    with pytest.raises(InvalidProjectError):
        await create_project(settings, "a/b", "Slash")
    for rejected in (
        create_token(settings, "other"),
        list_tokens(settings, "other"),
        update_project(settings, "other", disabled=True),
    ):
        with pytest.raises(UnknownProjectError):
            await rejected
    with pytest.raises(UnknownTokenError):
        await revoke_token(settings, "0" * 16)
    for rate in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidProjectError):
            await update_project(settings, "dev", items_per_second=rate)
        with pytest.raises(InvalidProjectError):
            await update_project(settings, "dev", burst=rate)
    assert [project.name for project in await list_projects(settings)] == ["Development"]


async def test_update_keeps_the_other_fields_of_a_project(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    await update_project(settings, "dev", items_per_second=5, burst=50)
    await update_project(settings, "dev", disabled=True)

    project = (await read_table(settings)).projects["dev"]
    assert (project.name, project.disabled, project.rate()) == ("Development", True, (5, 50))
    await update_project(settings, "dev", items_per_second=0)
    assert (await read_table(settings)).projects["dev"].rate() is None


async def test_missing_topic_is_named(kafka: str, topic_prefix: str) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix)

    with pytest.raises(StartError, match=rf"{topic_prefix}\.projects\.v1"):
        await create_project(settings, "dev", "Development")
    with pytest.raises(StartError, match=rf"{topic_prefix}\.projects\.v1"):
        await ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10).start()


async def test_unreachable_broker_is_named(unused_tcp_port: int) -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{unused_tcp_port}")

    with pytest.raises(UnavailableError, match=str(unused_tcp_port)):
        await create_project(settings, "dev", "Development")
    with pytest.raises(StartError, match=str(unused_tcp_port)):
        await ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=1).start()


async def test_known_tokens_stay_valid_in_an_outage_and_missed_changes_apply_after_it(
    kafka: str, settings: KafkaSettings
) -> None:
    await create_project(settings, "dev", "Development")
    token = await create_token(settings, "dev")
    proxy = KafkaProxy(kafka)
    await proxy.open()
    behind_proxy = KafkaSettings(bootstrap_servers=proxy.address, topic_prefix=settings.topic_prefix)
    registry = ProjectRegistry(behind_proxy, GatewayMetrics(), start_timeout_seconds=10)
    await registry.start()
    try:
        await proxy.cut()
        later = await create_token(settings, "dev")
        await within(20, lambda: not is_current(registry))
        assert registry.find_and_record_use(token) is not None
        assert registry.find_and_record_use(later) is None

        await proxy.open()

        await within(20, lambda: registry.find_and_record_use(later) is not None and is_current(registry))
    finally:
        await registry.close()
        await proxy.cut()


def is_current(registry: ProjectRegistry) -> bool:
    try:
        registry.check()
    except UnavailableError:
        return False
    return True
