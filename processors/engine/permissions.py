"""Checks at the start that Kafka permits a worker what it will do later.

Without READ on its group aiokafka waits for ever and says nothing; without READ on a topic Faust ends with a traceback
in the middle of the work. Kafka tells what a user may do on each topic, so a worker asks before it joins its group.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import GroupAuthorizationFailedError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from processors.engine.errors import PermissionDeniedError
from schemas.denials import denied
from schemas.settings import KafkaSettings, kafka_arguments

TIMEOUT_SECONDS = 10.0
_READ, _WRITE, _DESCRIBE = 1 << 3, 1 << 4, 1 << 8
"""Bits of Kafka's operations."""


async def require_permissions(
    settings: KafkaSettings, *, group: str, reads: Sequence[str], writes: Sequence[str]
) -> None:
    """Raise `PermissionDeniedError` unless the user may read and write these topics and join *group*."""
    client = AIOKafkaClient(**kafka_arguments(settings))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await client.bootstrap()
            # A broker without this version of the request tells nothing.
            with contextlib.suppress(NotImplementedError):
                request = _MetadataRequest(sorted({*reads, *writes}))
                answer = await client.send(client.get_random_node(), request)
                check_topics({topic[1]: topic[4] for topic in answer.topics}, reads=reads, writes=writes)
            await _check_group(client, group)
    finally:
        await client.close()


def check_topics(permitted: Mapping[str, int], *, reads: Sequence[str], writes: Sequence[str]) -> None:
    """Raise `PermissionDeniedError` for the first topic whose permitted operations lack what is needed.

    A user who sees a topic may describe it. A cluster whose answer does not say so does not know the operations.
    """
    for operation, bit, topics in (("READ", _READ, reads), ("WRITE", _WRITE, writes)):
        for topic in sorted(set(topics)):
            bits = permitted.get(topic, 0)
            if bits > 0 and bits & _DESCRIBE and not bits & bit:
                raise PermissionDeniedError(denied(operation, f"the topic {topic}"))


async def _check_group(client: AIOKafkaClient, group: str) -> None:
    """Raise `PermissionDeniedError` if Kafka denies a heartbeat, which needs what joining the group needs."""
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
        answer = await client.send(coordinator, HeartbeatRequest(group, -1, ""))
        is_denied = for_code(answer.error_code) is GroupAuthorizationFailedError
    except GroupAuthorizationFailedError:
        is_denied = True
    if is_denied:
        raise PermissionDeniedError(denied("READ", f"the consumer group {group}"))


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8")))),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _MetadataRequest(Request[_MetadataStruct]):  # type: ignore[misc]
    """Metadata with what the user may do on each topic, which aiokafka's own request does not ask for."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        """Return the request on the wire; it creates no topic."""
        return request_struct_class(self._topics, False, False, True)  # noqa: FBT003  # in the order of the schema
