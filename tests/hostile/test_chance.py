"""Requests made by chance are answered as the contract says, and leave nothing behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings

from schemas.settings import KafkaSettings
from tests.hostile.attacks import VARIABLES
from tests.hostile.chance import judge
from tests.hostile.requests_by_chance import Chance, chances
from tests.hostile.target import CANARY, Target, attacked

EXAMPLES = 600
# Not shrunk: a reply that does not come is waited for, each time.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@pytest.fixture(scope="module")
def target(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"chance-{secrets.token_hex(4)}")
    with attacked(settings, tmp_path_factory.mktemp("chance"), **VARIABLES) as running:
        yield running


@given(chance=chances())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
def test_any_request_gets_a_reply_of_the_contract(target: Target, chance: Chance) -> None:
    judge(target, chance)


def test_nothing_of_it_was_unexpected_or_is_in_the_log(target: Target) -> None:
    numbers = requests.get(f"http://127.0.0.1:{target.port}/metrics", timeout=10).text
    log = target.log.read_text()

    assert "sequence_gateway_unexpected_errors_total 0.0" in numbers
    assert "sequence_gateway_in_flight_bytes 0.0" in numbers
    assert CANARY not in log
    assert target.token not in log
    assert "ERROR" not in log
