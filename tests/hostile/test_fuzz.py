"""Random requests get replies of the HTTP contract and leave nothing behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings

from schemas.settings import KafkaSettings
from tests.hostile.attacks import VARIABLES
from tests.hostile.fuzzer import check_reply
from tests.hostile.random_requests import RandomRequest, random_requests
from tests.hostile.target import CANARY, Target, running_gateway

pytestmark = pytest.mark.hostile

EXAMPLES = 600
# Shrinking would wait for the timeout of a missing reply in every step.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@pytest.fixture(scope="module")
def target(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"fuzz-{secrets.token_hex(4)}")
    with running_gateway(settings, tmp_path_factory.mktemp("fuzz"), **VARIABLES) as running:
        yield running


@given(request=random_requests())
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_random_request_gets_a_reply_of_the_contract(target: Target, request: RandomRequest) -> None:
    check_reply(target, request)


def test_random_requests_leave_no_error_no_payload_and_no_held_memory(target: Target) -> None:
    metrics = requests.get(f"http://127.0.0.1:{target.port}/metrics", timeout=10).text
    log = target.log.read_text()

    assert "sequence_gateway_unexpected_errors_total 0.0" in metrics
    assert "sequence_gateway_in_flight_bytes 0.0" in metrics
    assert CANARY not in log
    assert target.token not in log
    assert "ERROR" not in log
