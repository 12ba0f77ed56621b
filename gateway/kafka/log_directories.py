"""Asks brokers how much space their log directories have: Kafka's DescribeLogDirs, version 4 (KIP-827, Kafka 3.3).

aiokafka has no such request. A broker tells the size and the free space of the file system of each directory to users
with DESCRIBE on the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from gateway.disk import Answer, Volume

_DENIED = 31
"""CLUSTER_AUTHORIZATION_FAILED."""
OLD = "It does not tell its free disk space. Kafka does from version 3.3 on."
DENIED = (
    "Kafka denies DESCRIBE on the cluster to this user (SEQUENCE_KAFKA_USERNAME). Grant it with Kafka's ACLs to let "
    "the disks of the brokers be watched."
)


async def ask(client: AIOKafkaClient, topics: Mapping[str, int]) -> list[Answer]:
    """Return the answer of every broker that the connected *client* knows.

    *topics* has the number of partitions of each topic. A directory without a replica of them does not count: the
    cluster may serve others. The requests have connections of their own, so that no batch waits for their answers.
    """
    brokers = sorted(broker.nodeId for broker in client.cluster.brokers())
    return await asyncio.gather(*(_ask(client, broker, topics) for broker in brokers))


async def _ask(client: AIOKafkaClient, broker: int, topics: Mapping[str, int]) -> Answer:
    request = _DescribeLogDirsRequest({topic: range(count) for topic, count in topics.items()})
    try:
        response = await client.send(broker, request, group=ConnectionGroup.COORDINATION)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return Answer(broker, unknown=OLD)
    except (KafkaError, OSError, RuntimeError):  # uvloop raises RuntimeError for a closed connection
        return Answer(broker, is_silent=True)
    return answer_of(broker, response)


def answer_of(broker: int, response: Response) -> Answer:
    """Return what *response* says. A directory that failed has no space to tell of, and Kafka does not use it."""
    if response.error_code == _DENIED:
        return Answer(broker, unknown=DENIED)
    if response.error_code:
        return Answer(broker, unknown=f"It answers with an error: {for_code(response.error_code).__name__}.")
    used = [
        Volume(broker, directory, free_bytes, total_bytes)
        for error, directory, topics, total_bytes, free_bytes, _ in response.results
        if not error and topics
    ]
    if any(volume.free_bytes < 0 for volume in used):
        return Answer(broker, unknown=OLD)
    return Answer(broker, used)


class _DescribeLogDirsResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", CompactString("utf-8")),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeLogDirsStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = _DescribeLogDirsResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeLogDirsRequest(Request[_DescribeLogDirsStruct]):  # type: ignore[misc]
    API_KEY = 35

    def __init__(self, topics: Mapping[str, Sequence[int]]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_DescribeLogDirsStruct]) -> _DescribeLogDirsStruct:
        """Return the request on the wire."""
        return request_struct_class([(topic, list(numbers), {}) for topic, numbers in self._topics.items()], {})
