"""The `sequence` command: help, arguments and invalid settings, before any connection is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.durations import Duration


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env=environ)


def test_help_lists_commands_and_exit_codes() -> None:
    result = run("--help")

    assert result.exit_code == 0
    names = "up status doctor trace sql gateway worker topics tables positions audit rejected project token"
    for name in names.split():
        assert f"\n  {name} " in result.output
    for code in (0, 1, 2, 3, 70, 78):
        assert f"\n  {code:>4}  " in result.output


def test_no_client_is_loaded_before_a_command_needs_one() -> None:
    """Each of them would take a fifth of a second of every command, and of the start of every process."""
    show = "import sys, deploy.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout.split()

    assert {"click", "msgspec"} <= set(loaded)
    assert not {"aiohttp", "aiokafka", "chdb", "clickhouse_connect", "faust", "jgo", "rocksdict"}.intersection(loaded)


def test_summaries_of_commands_are_not_truncated() -> None:
    for group in ((), ("project",), ("token",), ("topics",), ("tables",), ("positions",), ("rejected",)):
        assert "..." not in run(*group, "--help").output.partition("Commands:")[2]


INVALID = {"LOG_LEVEL": "LOUD", "KAFKA_SECURITY_PROTOCOL": "PLAIN", "PARTITIONS": "x", "CLICKHOUSE_URL": "ch:8123"}


@pytest.mark.parametrize(
    ("command", "reported"),
    [
        (("gateway",), {"LOG_LEVEL", "KAFKA_SECURITY_PROTOCOL"}),
        (("worker", "dedupe"), {"LOG_LEVEL", "KAFKA_SECURITY_PROTOCOL", "CLICKHOUSE_URL"}),
        (("topics", "apply"), {"KAFKA_SECURITY_PROTOCOL", "PARTITIONS"}),
        (("up",), {"LOG_LEVEL", "KAFKA_SECURITY_PROTOCOL", "PARTITIONS"}),
    ],
)
def test_all_invalid_settings_are_reported_with_exit_code_2(command: tuple[str, ...], reported: set[str]) -> None:
    result = run(*command, **{f"SEQUENCE_{name}": text for name, text in INVALID.items()})

    assert result.exit_code == 2
    lines = result.output.removeprefix("Error: ").splitlines()
    assert {line.partition(": ")[0] for line in lines} >= {f"SEQUENCE_{name}" for name in reported}


def test_unusable_certificate_is_a_setting_that_is_reported_before_kafka_is_awaited() -> None:
    result = run("gateway", SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE="/nonexistent.pem")

    assert result.exit_code == 2
    assert "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE: cannot load /nonexistent.pem" in result.output


def test_unknown_worker_kind_is_rejected() -> None:
    result = run("worker", "nobody")

    assert result.exit_code == 2
    assert "dedupe" in result.output


@pytest.mark.parametrize("text", ["Viewed", "Viewed=30", "=30d", "Viewed=d", "Viewed=-1d"])
def test_days_of_an_event_that_cannot_be_read_are_rejected(text: str) -> None:
    result = run("project", "update", "dev", "--retention-event", text)

    assert result.exit_code == 2
    assert f"--retention-event {text}: write EVENT=DAYS, such as `Page Viewed=30d`." in result.output


def test_project_update_without_a_change_is_rejected() -> None:
    result = run("project", "update", "dev")

    assert result.exit_code == 2
    assert "Nothing to change" in result.output


def test_misspelled_command_of_backup_is_no_directory(tmp_path: Path) -> None:
    for words in (["verfy"], ["lst", str(tmp_path)], ["creat", str(tmp_path)]):
        result = run("backup", *words)
        assert (result.exit_code, "No such command" in result.output) == (2, True), result.output
    # A directory that cannot be one, so that the command that it means ends.
    result = run("backup", "list", str(tmp_path / "none"))
    assert (result.exit_code, "There is no directory" in result.output) == (2, True), result.output


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("15m", 900), ("12h", 43_200), ("90d", 7_776_000)])
def test_duration_has_a_unit(text: str, seconds: int) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["90", "d", "0d", "-1d", "1.5h", "9999999999d"])
def test_invalid_duration_is_rejected_with_an_example(text: str) -> None:
    result = run("token", "create", "dev", "--expires-in", text)

    assert result.exit_code == 2
    assert "for example 90d" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("dev", "--scope", "operate"), "is for all projects. Leave out dev"),
        (("--scope", "read"), "Missing argument PROJECT: a read token belongs to a project."),
        ((), "Missing argument PROJECT: a write token belongs to a project."),
    ],
)
def test_token_has_a_project_unless_its_scope_is_operate(arguments: tuple[str, ...], reason: str) -> None:
    result = run("token", "create", *arguments)

    assert (result.exit_code, reason in result.output) == (2, True)


@pytest.mark.parametrize("listing", ["project", "token"])
def test_every_listing_documents_its_json_fields(listing: str) -> None:
    output = run(listing, "list", "--help").output

    assert "--json" in output
    assert "Fields of --json: id, " in output
