"""Requests of Kafka's protocol that move leaders: another order of replicas, and an election of the first of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

_TIMEOUT_MS = 30_000
_PREFERRED = 0
_ELECTION_NOT_NEEDED = 84


class ElectLeadersResponse_v1(Response):  # type: ignore[misc]  # noqa: N801  # as the untyped library names them
    """The answer of ElectLeaders."""

    API_KEY = 43
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "replica_election_results",
            Array(
                ("topic", String("utf-8")),
                (
                    "partition_result",
                    Array(("partition_id", Int32), ("error_code", Int16), ("error_message", String("utf-8"))),
                ),
            ),
        ),
    )


class ElectLeadersRequest_v1(RequestStruct):  # type: ignore[misc]  # noqa: N801
    """ElectLeaders, KIP-460."""

    API_KEY = 43
    API_VERSION = 1
    RESPONSE_TYPE = ElectLeadersResponse_v1
    SCHEMA = Schema(
        ("election_type", Int8),
        ("topic_partitions", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
        ("timeout_ms", Int32),
    )


class ElectLeadersRequest(Request[ElectLeadersRequest_v1]):  # type: ignore[misc]
    """An election of the preferred leader of each partition."""

    API_KEY = 43

    def __init__(self, partitions: Mapping[str, Sequence[int]]) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[ElectLeadersRequest_v1]) -> ElectLeadersRequest_v1:
        """Return the structure of the request."""
        return request_struct_class(
            _PREFERRED, [(topic, list(of)) for topic, of in self._partitions.items()], _TIMEOUT_MS
        )


async def reassign(
    admin: AIOKafkaAdminClient, partitions: Mapping[str, Sequence[int]], replicas: Sequence[int]
) -> None:
    """Let the replicas of all *partitions* be *replicas*, in this order."""
    wanted: list[Any] = [
        (topic, [(number, list(replicas), {}) for number in of], {}) for topic, of in partitions.items()
    ]
    response = await _ask(admin, AlterPartitionReassignmentsRequest(_TIMEOUT_MS, wanted, {}))
    assert response.error_code == 0, response


async def elect_preferred(admin: AIOKafkaAdminClient, partitions: Mapping[str, Sequence[int]]) -> None:
    """Make the first replica of each partition its leader."""
    response = await _ask(admin, ElectLeadersRequest(partitions))
    codes = {code for _, results in response.replica_election_results for _, code, _ in results}
    assert codes <= {0, _ELECTION_NOT_NEEDED}, response


async def _ask(admin: AIOKafkaAdminClient, request: Any) -> Any:
    return await admin._send_request(request)
