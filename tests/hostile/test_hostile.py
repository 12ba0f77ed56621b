"""Whatever is sent is answered with a reason, and costs neither the process nor its memory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from schemas.settings import KafkaSettings
from tests.hostile.attacks import ATTACKS, VARIABLES, carry_out
from tests.hostile.bodies import GOOD
from tests.hostile.target import CANARY, Target, attacked

GROWTH_MIB = 64.0
"""What one attack may add to the memory: a body's limit several times, far from what the bombs would unpack to."""
CONNECTIONS_MIB = 384.0
"""For ten thousand connections."""


@pytest.fixture(scope="module")
def target(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"hostile-{secrets.token_hex(4)}")
    with attacked(settings, tmp_path_factory.mktemp("hostile"), **VARIABLES) as running:
        yield running


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_answered_with_its_reason(target: Target, name: str) -> None:
    expected, make = ATTACKS[name]

    outcome = await carry_out(target, make())

    assert outcome.is_as(expected), (outcome.told, outcome.reply)
    assert outcome.reply.status < 500 or outcome.reply.status == 503
    assert b"Traceback" not in outcome.reply.body
    assert b"Server: sequence\r\n" in outcome.reply.head
    limit = CONNECTIONS_MIB if "connections" in name else GROWTH_MIB
    assert outcome.after_mib - outcome.before_mib < limit
    log = target.log.read_text()
    assert CANARY not in log
    assert target.token not in log
    assert "ERROR" not in log
    assert (await target.exchange(target.post(GOOD))).status == 200
