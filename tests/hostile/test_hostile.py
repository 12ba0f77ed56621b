"""Hostile requests get a reply with a code, and cost neither the process nor its memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.settings import KafkaSettings
from tests.hostile.attacks import ATTACKS, SLOW_CLIENTS, VARIABLES, Outcome, attack_with_connections, carry_out
from tests.hostile.bodies import GOOD
from tests.hostile.target import CANARY, Target, running_gateway

GROWTH_MIB = 64.0
"""Memory that one attack may add: several times the body limit, far below the unpacked size of the bombs."""
CONNECTIONS_MIB = 384.0
"""Memory that 10,000 connections may add."""


@pytest.fixture(scope="module")
def target(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"hostile-{secrets.token_hex(4)}")
    with running_gateway(settings, tmp_path_factory.mktemp("hostile"), **VARIABLES) as running:
        yield running


@pytest.fixture
def slow_target(kafka_settings: KafkaSettings, tmp_path: Path) -> Iterator[Target]:
    """A gateway that waits long enough for the headers of slow clients."""
    with running_gateway(kafka_settings, tmp_path, **SLOW_CLIENTS) as running:
        yield running


def check(target: Target, outcome: Outcome, expected: str, *, growth_mib: float) -> None:
    assert outcome.matches(expected), (outcome.answer, outcome.reply)
    assert outcome.reply.status < 500 or outcome.reply.status == 503
    assert b"Traceback" not in outcome.reply.body
    assert b"Server: sequence\r\n" in outcome.reply.head
    assert outcome.after_mib - outcome.before_mib < growth_mib
    log = target.log.read_text()
    assert CANARY not in log
    assert target.token not in log
    assert "ERROR" not in log


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack_is_answered_with_its_code(target: Target, name: str) -> None:
    expected, make = ATTACKS[name]

    outcome = await carry_out(target, make())

    check(target, outcome, expected, growth_mib=GROWTH_MIB)
    assert (await target.exchange(target.post(GOOD))).status == 200


@pytest.mark.hostile
async def test_gateway_answers_beside_10000_open_connections(slow_target: Target) -> None:
    outcome = await carry_out(slow_target, attack_with_connections)

    check(slow_target, outcome, "200", growth_mib=CONNECTIONS_MIB)
    assert (await slow_target.exchange(slow_target.post(GOOD))).status == 200
