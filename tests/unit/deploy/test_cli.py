"""The `sequence` command: arguments and faults in settings, before anything is connected to."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from deploy.cli import Lifetime, main


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environ)


def test_help_names_every_command() -> None:
    result = run("--help")

    assert result.exit_code == 0
    for name in ("up", "gateway", "worker", "topics", "tables", "project", "token"):
        assert f"\n  {name} " in result.output


@pytest.mark.parametrize("command", [("gateway",), ("worker", "dedupe"), ("topics", "apply"), ("up",)])
def test_faulty_settings_are_all_named_and_end_with_code_2(command: tuple[str, ...]) -> None:
    result = run(*command, SEQUENCE_LOG_LEVEL="INFO", SEQUENCE_KAFKA_SECURITY_PROTOCOL="PLAIN", SEQUENCE_PARTITIONS="x")

    assert result.exit_code == 2
    assert "SEQUENCE_KAFKA_SECURITY_PROTOCOL: " in result.output


def test_an_unknown_worker_is_refused() -> None:
    result = run("worker", "nobody")

    assert result.exit_code == 2
    assert "dedupe" in result.output


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("12h", 43_200), ("90d", 7_776_000)])
def test_a_lifetime_has_a_unit(text: str, seconds: int) -> None:
    assert Lifetime().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["90", "d", "0d", "-1d", "1.5h", "9999999999d"])
def test_a_lifetime_without_a_sound_unit_is_refused(text: str) -> None:
    result = run("token", "create", "dev", "--expires-in", text)

    assert result.exit_code == 2
    assert "such as 90d" in result.output
