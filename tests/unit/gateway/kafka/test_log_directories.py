"""The request DescribeLogDirs as it is on the wire, by Kafka's protocol guide, and what its answers mean.

`tests/integration/test_gateway_disk.py` asks a broker. If an upgrade of aiokafka breaks a test here, look whether it
has version 4 of the request now. Otherwise adapt `gateway/kafka/log_directories.py` to its classes of the protocol.
"""

from __future__ import annotations

import io
from typing import Any

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.errors import IncompatibleBrokerVersion, NodeNotReadyError
from aiokafka.structs import BrokerMetadata

from gateway.disk import Answer, Volume
from gateway.kafka import log_directories
from gateway.kafka.log_directories import DENIED, OLD, _DescribeLogDirsRequest, _DescribeLogDirsResponse, answer_of

FOUND: Any = (0, "/kafka", [("a.items.v1", [(0, 10, 0, False, {})], {})], 1000, 400, {})
ELSEWHERE: Any = (0, "/other", [], 1000, 5, {})
OFFLINE: Any = (56, "/broken", [], -1, -1, {})


def response(*results: Any, error: int = 0) -> _DescribeLogDirsResponse:
    return _DescribeLogDirsResponse(0, error, list(results), {})


def test_request_has_the_bytes_of_the_protocol() -> None:
    struct = _DescribeLogDirsRequest({"a": [0, 1]}).prepare({35: (1, 5)})

    header = struct.build_request_header(7, "c").encode()
    assert header == b"\x00\x23\x00\x04\x00\x00\x00\x07\x00\x01c\x00"
    assert struct.encode() == b"\x02\x02a\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00"


def test_response_is_read_from_the_bytes_of_the_protocol() -> None:
    partition = b"\x00\x00\x00\x00" + (10).to_bytes(8) + (0).to_bytes(8) + b"\x00\x00"
    result = b"\x00\x00\x07/kafka\x02\x02a\x02" + partition + b"\x00" + (1000).to_bytes(8) + (400).to_bytes(8) + b"\x00"
    read = _DescribeLogDirsResponse.decode(io.BytesIO(b"\x00\x00\x00\x00\x00\x00\x02" + result + b"\x00"))

    assert answer_of(1, read) == Answer(1, [Volume(1, "/kafka", 400, 1000)])


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([FOUND, ELSEWHERE, OFFLINE], Answer(1, [Volume(1, "/kafka", 400, 1000)])),
        ([ELSEWHERE], Answer(1, [])),
        ([], Answer(1, [])),
        ([(*FOUND[:3], -1, -1, {})], Answer(1, unknown=OLD)),
    ],
)
def test_directories_that_hold_the_topics_count(results: list[Any], expected: Answer) -> None:
    assert answer_of(1, response(*results)) == expected


def test_refusal_says_which_permission_is_missing() -> None:
    assert answer_of(1, response(error=31)).unknown == DENIED
    assert "DESCRIBE on the cluster" in DENIED
    assert answer_of(1, response(error=-1)).unknown == "It answers with an error: UnknownError."


class Client:
    """Knows two brokers. Asking the second one ends with *error*."""

    def __init__(self, error: Exception) -> None:
        self.cluster = self
        self._error = error

    def brokers(self) -> set[BrokerMetadata]:
        return {BrokerMetadata(number, "h", 9092, None) for number in (2, 1)}

    async def send(self, broker: int, request: Any, *, group: object) -> _DescribeLogDirsResponse:
        assert (request._topics, group) == ({"a.items.v1": range(4)}, ConnectionGroup.COORDINATION)
        if broker == 2:
            raise self._error
        return response(FOUND)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NodeNotReadyError("not ready"), Answer(2, is_silent=True)),
        (OSError("broken"), Answer(2, is_silent=True)),
        (RuntimeError("the transport is closed"), Answer(2, is_silent=True)),
        (IncompatibleBrokerVersion("no such request"), Answer(2, unknown=OLD)),
    ],
)
async def test_broker_that_does_not_answer_hides_no_other(error: Exception, expected: Answer) -> None:
    found = await log_directories.ask(Client(error), {"a.items.v1": 4})

    assert found == [Answer(1, [Volume(1, "/kafka", 400, 1000)]), expected]


def test_broker_without_version_four_is_too_old() -> None:
    request = _DescribeLogDirsRequest({})
    with pytest.raises(NotImplementedError):
        request.prepare({35: (0, 3)})
    with pytest.raises(IncompatibleBrokerVersion):
        request.prepare({})
