"""The `sequence` command against a real broker."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.local.quickstart import development_token
from gateway.projects.admin import list_tokens, revoke_token
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics


def run(settings: KafkaSettings, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environment(settings))


@pytest.fixture
def applied(kafka_settings: KafkaSettings) -> KafkaSettings:
    assert run(kafka_settings, "topics", "apply").exit_code == 0
    return kafka_settings


def test_topics_are_made_and_named(kafka_settings: KafkaSettings) -> None:
    first = run(kafka_settings, "topics", "apply")
    second = run(kafka_settings, "topics", "apply")

    assert Topics(kafka_settings.topic_prefix).items in first.output.splitlines()
    assert second.output == "All topics are as they should be.\n"


def test_a_token_is_created_listed_and_revoked(applied: KafkaSettings) -> None:
    assert run(applied, "project", "create", "shop", "--name", "The shop").exit_code == 0
    token = run(applied, "token", "create", "shop", "--expires-in", "90d").output.strip()

    listed = run(applied, "token", "list", "shop").output
    identifier = listed.split()[0]
    revoked = run(applied, "token", "revoke", identifier)

    assert token not in listed
    assert "shop" in listed
    assert "expires" in listed
    assert revoked.exit_code == 0
    assert "revoked" in run(applied, "token", "list").output


def test_a_project_is_listed_limited_and_disabled(applied: KafkaSettings) -> None:
    run(applied, "project", "create", "shop", "--name", "The shop")
    assert run(applied, "project", "list").output == "shop  The shop  enabled  no limit\n"

    changed = run(applied, "project", "update", "shop", "--disable", "--items-per-second", "50", "--burst", "100")
    assert changed.exit_code == 0, changed.output
    assert run(applied, "project", "list").output == "shop  The shop  disabled  50.0 items a second\n"

    run(applied, "project", "update", "shop", "--enable", "--items-per-second", "0")
    assert run(applied, "project", "list").output == "shop  The shop  enabled  no limit\n"
    assert run(applied, "project", "update", "nobody").exit_code == 1


def test_a_token_for_an_unknown_project_is_one_line_and_code_1(applied: KafkaSettings) -> None:
    result = run(applied, "token", "create", "nobody")

    assert result.exit_code == 1
    assert result.output == "Error: there is no project nobody\n"


def test_a_broker_that_is_not_there_is_one_line_and_code_1(kafka_settings: KafkaSettings) -> None:
    away = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix=kafka_settings.topic_prefix)

    for arguments in (("topics", "apply"), ("token", "list"), ("project", "create", "shop")):
        result = run(away, *arguments)
        assert result.exit_code == 1, result.exception
        assert result.output.startswith("Error: Kafka at 127.0.0.1:1")


async def test_the_development_token_is_made_once(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    file = tmp_path / "dev-token"

    first = await development_token(kafka_settings, file)
    second = await development_token(kafka_settings, file)

    assert first == second == file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(await list_tokens(kafka_settings, "dev")) == 1


async def test_a_development_token_that_was_revoked_stays_revoked(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    await development_token(kafka_settings, tmp_path / "dev-token")
    (token,) = await list_tokens(kafka_settings, "dev")
    await revoke_token(kafka_settings, token.id)

    await development_token(kafka_settings, tmp_path / "dev-token")

    (after,) = await list_tokens(kafka_settings, "dev")
    assert after.revoked_at is not None


async def test_a_development_token_that_kafka_lost_is_taken_over_again(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    assert topics.prefix == kafka_settings.topic_prefix
    kept = "seq_dev_kept-from-an-earlier-life"
    (tmp_path / "dev-token").write_text(kept)

    assert await development_token(kafka_settings, tmp_path / "dev-token") == kept

    assert len(await list_tokens(kafka_settings, "dev")) == 1
