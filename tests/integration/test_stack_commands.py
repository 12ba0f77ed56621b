"""The `sequence` command with a real broker."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.local.quickstart import development_token, operate_token
from gateway.projects.admin import list_tokens, revoke_token
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics


def run(settings: KafkaSettings, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environment(settings))


@pytest.fixture
def applied(kafka_settings: KafkaSettings) -> KafkaSettings:
    assert run(kafka_settings, "topics", "apply").exit_code == 0
    return kafka_settings


def test_topics_apply_prints_created_topics_then_that_they_are_up_to_date(kafka_settings: KafkaSettings) -> None:
    first = run(kafka_settings, "topics", "apply")
    second = run(kafka_settings, "topics", "apply")

    assert Topics(kafka_settings.topic_prefix).items in first.output.splitlines()
    assert second.output == "Topics are up to date.\n"


def test_token_is_created_listed_and_revoked(applied: KafkaSettings) -> None:
    assert run(applied, "project", "create", "shop", "--name", "The shop").exit_code == 0
    token = run(applied, "token", "create", "shop", "--expires-in", "90d").output.strip()

    listed = run(applied, "token", "list", "shop").output
    (entry,) = json.loads(run(applied, "token", "list", "shop", "--json").output)
    revoked = run(applied, "token", "revoke", entry["id"])

    assert token not in listed
    heading, row = listed.splitlines()
    assert heading.split() == ["ID", "PROJECT", "TOKEN", "SCOPE", "STATUS", "EXPIRES", "LAST", "USED"]
    assert row.split()[:2] == [entry["id"], "shop"]
    assert (entry["status"], entry["scope"], entry["lastUsedOn"]) == ("valid", "write", None)
    assert entry["expiresAt"] > entry["createdAt"]
    assert revoked.exit_code == 0
    assert " revoked " in run(applied, "token", "list").output


def test_project_is_listed_limited_and_disabled(applied: KafkaSettings) -> None:
    assert run(applied, "project", "list").output.startswith("No projects.")
    assert run(applied, "project", "list", "--json").output == "[]\n"
    run(applied, "project", "create", "shop", "--name", "The shop")
    assert listed_project(applied) == "shop  The shop  enabled  none"

    changed = run(applied, "project", "update", "shop", "--disable", "--items-per-second", "50", "--burst", "100")
    assert changed.exit_code == 0, changed.output
    assert listed_project(applied) == "shop  The shop  disabled  50 items/s, burst 100"

    run(applied, "project", "update", "shop", "--enable", "--items-per-second", "0")
    assert listed_project(applied) == "shop  The shop  enabled  none"
    assert run(applied, "project", "update", "nobody", "--enable").exit_code == 1


def listed_project(settings: KafkaSettings) -> str:
    (_, row) = run(settings, "project", "list").output.splitlines()
    return row


def test_token_for_an_unknown_project_is_one_line_with_exit_code_1(applied: KafkaSettings) -> None:
    result = run(applied, "token", "create", "nobody")

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert result.output.startswith("Error: ")
    assert "nobody" in result.output


def test_unreachable_broker_is_one_line_with_exit_code_1(kafka_settings: KafkaSettings) -> None:
    unreachable = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix=kafka_settings.topic_prefix)

    for arguments in (("topics", "apply"), ("token", "list"), ("project", "create", "shop")):
        result = run(unreachable, *arguments)
        assert result.exit_code == 1, result.exception
        assert len(result.output.splitlines()) == 1, result.output
        assert result.output.startswith("Error: Kafka at 127.0.0.1:1")


async def test_development_token_is_created_once(kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    file = tmp_path / "dev-token"

    first = await development_token(kafka_settings, file)
    second = await development_token(kafka_settings, file)

    assert first == second == file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(await list_tokens(kafka_settings, "dev")) == 1


async def test_token_of_the_console_is_created_once(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    file = tmp_path / "operate-token"
    tokens = [await operate_token(kafka_settings, file) for _ in range(2)]

    assert tokens == [file.read_text().strip()] * 2
    (known,) = await list_tokens(kafka_settings)
    assert (known.scope, known.project_id, known.is_valid(0)) == ("operate", "", True)


async def test_revoked_development_token_stays_revoked(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    await development_token(kafka_settings, tmp_path / "dev-token")
    (token,) = await list_tokens(kafka_settings, "dev")
    await revoke_token(kafka_settings, token.id)

    await development_token(kafka_settings, tmp_path / "dev-token")

    (after,) = await list_tokens(kafka_settings, "dev")
    assert after.revoked_at is not None


async def test_development_token_that_kafka_lost_is_registered_again(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    stored = "seq_dev_stored-by-an-earlier-stack"
    (tmp_path / "dev-token").write_text(stored)

    assert await development_token(kafka_settings, tmp_path / "dev-token") == stored

    assert len(await list_tokens(kafka_settings, "dev")) == 1
