"""Rules for private data, suppressed users and the item limit of a project, as a gateway keeps them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from gateway.ingest.field_rules import WITHHELD
from gateway.metrics import GatewayMetrics
from gateway.projects.admin import create_project, create_token, read_project
from gateway.projects.registry import ProjectRegistry
from schemas.erasure import Suppression, user_digest
from schemas.field_rules import FieldRule, hashed
from schemas.projects import Project, digest, encode_entry
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics
from tests.integration.served import REJECTED, Served, identify, serving, track

RULED = "seq_ruled_0123456789abcdef"
KEY = b"a key"
EMAIL = "ada@example.com"
BEARER = {"Authorization": f"Bearer {RULED}"}


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving() as served:
        rules = (
            FieldRule("context.ip", "truncate", 7),
            FieldRule("properties.email", "drop"),
            FieldRule("traits.email", "hash"),
        )
        project = Project("ruled", "Ruled", 0, item_bytes=500, field_rules=rules, hash_key=KEY)
        served.projects.add(project, RULED)
        yield served


def stored(gateway: Served) -> bytes:
    return b"".join(value for records in gateway.publisher.written.values() for _, value in records)


async def test_private_values_are_on_no_topic(gateway: Served) -> None:
    private = {"email": EMAIL, "plan": "pro"}
    batch = [
        track(properties=private),
        identify(traits=private, context={"ip": "192.168.0.1"}),
        track(event="", properties=private),
        identify(type="page", properties=private),
        [EMAIL],
    ]
    answer = await gateway.post("/event/batch", {"batch": batch}, headers=BEARER)

    assert (answer.json["accepted"], answer.json["rejected"]) == (2, 3)
    assert EMAIL.encode() not in stored(gateway)
    tracked, identified = sorted(gateway.written(), key=lambda item: item["type"], reverse=True)
    assert tracked["properties"] == {"plan": "pro"}
    assert identified["traits"] == {"email": hashed(KEY, EMAIL), "plan": "pro"}
    assert identified["context"] == {"ip": "192.168"}
    rejections = gateway.written(REJECTED)
    contents = [json.loads(rejection["content"]) for rejection in rejections if rejection["content"]]
    assert [content["properties"] for content in contents] == [{"plan": "pro"}] * 2
    [withheld] = [rejection for rejection in rejections if not rejection["content"]]
    assert withheld["message"].endswith(WITHHELD)


async def test_rules_of_a_project_are_not_those_of_another(gateway: Served) -> None:
    await gateway.post("/event/batch", {"batch": [track(properties={"email": EMAIL})]})

    assert EMAIL.encode() in stored(gateway)


@pytest.mark.parametrize("by_write_key", [False, True])
async def test_item_limit_of_a_project_is_below_that_of_the_gateway(gateway: Served, *, by_write_key: bool) -> None:
    body = {"batch": [track(), track(properties={"text": "x" * 500})]}
    sent = body | {"writeKey": RULED} if by_write_key else body
    answer = await gateway.post("/event/batch", sent, headers={} if by_write_key else BEARER)

    assert [item.get("code") for item in answer.json["items"]] == [None, "item_too_large"]
    assert "the limit is 500." in answer.json["items"][1]["message"]
    assert (await gateway.post("/event/batch", body)).json["accepted"] == 2


async def test_commands_set_what_a_running_gateway_keeps(kafka_settings: KafkaSettings, topics: Topics) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["project", *arguments], env=environ)

    async def succeeds(*arguments: str) -> str:
        result = await asyncio.to_thread(run, *arguments)
        assert result.exit_code == 0, result.output
        return str(result.output)

    assert topics.prefix == kafka_settings.topic_prefix
    environ = environment(kafka_settings)
    await create_project(kafka_settings, "dev", "Development")
    token = await create_token(kafka_settings, "dev")
    token_id = digest(token)[:16]
    registry = ProjectRegistry(kafka_settings, GatewayMetrics(), start_timeout_seconds=10)
    await registry.start()
    try:
        assert "Field rules  none" in await succeeds("show", "dev")
        assert (await asyncio.to_thread(run, "hash", "dev", "ada")).exit_code == 1
        await succeeds("rules", "dev", "--hash", "traits.email", "--truncate", "context.ip=7", "--drop", "traits.phone")
        await succeeds("rules", "dev", "--remove", "traits.phone")
        await succeeds("update", "dev", "--item-bytes", "1000")

        expected = await read_project(kafka_settings, "dev")
        async with asyncio.timeout(10):
            while registry.find_and_record_use(token) != (expected, token_id):  # noqa: ASYNC110  # it happens in Kafka
                await asyncio.sleep(0.01)
        assert expected.field_rules == (FieldRule("context.ip", "truncate", 7), FieldRule("traits.email", "hash"))
        assert (await succeeds("hash", "dev", "ada")).strip() == hashed(expected.hash_key, "ada")
        shown = await succeeds("show", "dev")
        assert shown.splitlines()[-4:] == [
            "Item limit   1000 bytes",
            "Retention    unlimited",
            "Field rules  truncate context.ip to 7 characters",
            "             hash traits.email",
        ]
        assert json.loads(await succeeds("show", "dev", "--json"))["itemBytes"] == 1000
        assert expected.hash_key.hex() not in await succeeds("show", "dev", "--json")
    finally:
        await registry.close()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "Nothing to change"),
        (("--truncate", "context.ip"), "write PATH=N"),
        (("--truncate", "context.ip=-1"), "write PATH=N"),
    ],
)
def test_wrong_argument_is_explained(arguments: tuple[str, ...], reason: str) -> None:
    result = CliRunner().invoke(main, ["project", "rules", "dev", *arguments])

    assert result.exit_code == 2
    assert reason in result.output


async def test_item_of_a_suppressed_user_is_on_no_topic_but_for_its_code(gateway: Served) -> None:
    digest = user_digest(KEY, "ada").hex()
    gateway.projects.table.apply(*encode_entry(Suppression(suppressed=True), "ruled", digest))
    sent = {"batch": [track(userId="ada", messageId="of-ada"), track(userId="ada", event=""), track(userId="bob")]}
    headers = BEARER | {"X-Request-Id": "request-of-ada"}
    answer = await gateway.post("/event/batch", sent, headers=headers)

    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (200, 1, 2)
    assert [item["code"] for item in answer.json["items"] if item["status"] == "rejected"] == ["suppressed"] * 2
    assert b"ada" not in stored(gateway)
    assert [rejection["code"] for rejection in gateway.written(REJECTED)] == ["suppressed"] * 2
    only = await gateway.post("/event/batch", {"batch": [track(userId="ada")]}, headers=headers)
    assert (only.status, only.json["success"]) == (200, True)

    gateway.projects.table.apply(*encode_entry(Suppression(suppressed=False), "ruled", digest))
    again = await gateway.post("/event/batch", sent, headers=headers)
    assert again.json["accepted"] == 2
