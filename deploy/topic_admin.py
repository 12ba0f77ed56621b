"""Kafka's admin requests for topics. What Kafka refuses is a value: the caller decides whether it can do without.

aiokafka has no IncrementalAlterConfigs. Its AlterConfigs replaces all settings of a topic, so a setting that somebody
else changes at the same time, or whose value is hidden, would be lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from deploy.topic_rules import Config
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topic

REQUEST_TIMEOUT_MS = 30_000

_TOPIC_ALREADY_EXISTS = 36
_DENIED = frozenset({29, 31})
"""TOPIC_AUTHORIZATION_FAILED and CLUSTER_AUTHORIZATION_FAILED."""
_BY_POLICY = frozenset({40, 42, 44})
"""INVALID_CONFIG, INVALID_REQUEST and POLICY_VIOLATION: managed clusters answer one of them for a setting."""
_SET = 0
"""The operation of IncrementalAlterConfigs that sets a value."""

Partitions = Mapping[str, Sequence[Mapping[str, Any]]]
"""The partitions of each topic that the user may describe, as Kafka's metadata has them."""


class Refusal(NamedTuple):
    """Kafka's answer to a request that it refuses."""

    code: int
    message: str

    @property
    def is_denied(self) -> bool:
        """Whether the user lacks a permission."""
        return self.code in _DENIED

    @property
    def is_by_policy(self) -> bool:
        """Whether a setting is not allowed."""
        return self.code in _BY_POLICY

    @property
    def exists(self) -> bool:
        """Whether the topic to be created exists."""
        return self.code == _TOPIC_ALREADY_EXISTS


class TopicAdmin(Protocol):
    """What `deploy.topics` needs of Kafka."""

    async def partitions(self) -> Partitions:
        """Return the partitions of every topic that the user may describe."""

    async def create(self, topics: Sequence[Topic], replication_factor: int) -> dict[str, Refusal | None]:
        """Create *topics*; return the refusal of each, or None."""

    async def settings(self, topics: Sequence[Topic]) -> dict[str, Config | Refusal]:
        """Return the settings of each topic, or the refusal."""

    async def change(self, topic: str, setting: str, value: str) -> Refusal | None:
        """Change one setting and leave the others; return the refusal, if any."""


class KafkaTopicAdmin:
    """The requests on a cluster."""

    def __init__(self, admin: AIOKafkaAdminClient, client: AIOKafkaClient) -> None:
        self._admin = admin
        self._client = client

    async def partitions(self) -> Partitions:
        """Return the partitions of every topic. A request by name could create the topic; one for all does not."""
        return {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics()}

    async def create(self, topics: Sequence[Topic], replication_factor: int) -> dict[str, Refusal | None]:
        """Create *topics*; return the refusal of each, or None."""
        if not topics:
            return {}
        response = await self._admin.create_topics(
            [NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=topic.config) for topic in topics]
        )
        return {name: _refusal(code, *message) for name, code, *message in response.topic_errors}

    async def settings(self, topics: Sequence[Topic]) -> dict[str, Config | Refusal]:
        """Return the settings of each topic, or the refusal."""
        if not topics:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
        found: dict[str, Config | Refusal] = {}
        for response in await self._admin.describe_configs(resources):
            for code, message, _, name, entries in response.resources:
                found[name] = _refusal(code, message) or {entry[0]: entry[1] for entry in entries}
        return found

    async def change(self, topic: str, setting: str, value: str) -> Refusal | None:
        """Change one setting and leave the others; return the refusal, if any."""
        request = _IncrementalAlterConfigsRequest([(ConfigResourceType.TOPIC, topic, [(setting, _SET, value)])])
        response = await self._client.send(self._client.get_random_node(), request)
        ((code, message, _, _),) = response.resources
        return _refusal(code, message)


@contextlib.asynccontextmanager
async def connected(kafka: KafkaSettings) -> AsyncIterator[KafkaTopicAdmin]:
    """Connect to the cluster; raises aiokafka's errors."""
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)
    client = AIOKafkaClient(**kafka_arguments(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        await client.bootstrap()
        yield KafkaTopicAdmin(admin, client)
    finally:
        await client.close()
        await admin.close()


def _refusal(code: int, message: str | None = None) -> Refusal | None:
    return Refusal(code, (message or for_code(code).__name__).rstrip(".")) if code else None


class _IncrementalAlterConfigsResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _IncrementalAlterConfigsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _IncrementalAlterConfigsResponse
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("configs", Array(("name", String("utf-8")), ("operation", Int8), ("value", String("utf-8")))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _IncrementalAlterConfigsRequest(Request[_IncrementalAlterConfigsStruct]):  # type: ignore[misc]
    API_KEY = 44

    def __init__(self, resources: list[tuple[int, str, list[tuple[str, int, str]]]]) -> None:
        self._resources = resources

    def build(self, request_struct_class: type[_IncrementalAlterConfigsStruct]) -> _IncrementalAlterConfigsStruct:
        """Return the request on the wire."""
        return request_struct_class(self._resources, False)  # noqa: FBT003  # not only to validate
