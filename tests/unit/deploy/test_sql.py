"""`sequence sql`: which login a statement uses, and what is said when there is none."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy import sql
from deploy.cli import main
from deploy.errors import SqlError
from deploy.local import passwords, state_lock
from schemas.settings import SettingsError

SERVER = {"SEQUENCE_CLICKHOUSE_URL": "http://db.example", "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "servers"}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a local stack that runs."""
    (tmp_path / passwords.WRITER_FILE).write_text("writers\n")
    (tmp_path / passwords.ANALYST_FILE).write_text("analysts\n")
    with state_lock.held(tmp_path):
        yield {"SEQUENCE_STATE_DIR": str(tmp_path)}


def login(environ: dict[str, str], *, write: bool = False) -> tuple[str, str, str, str]:
    target = sql.choose_target(environ, write=write)
    return target.url, target.user, target.password, target.database


def test_statement_runs_as_analyst_on_the_local_stack(stack: dict[str, str]) -> None:
    assert login(stack) == ("http://127.0.0.1:8123/", "analyst", "analysts", "sequence")


def test_write_runs_as_the_writer_on_the_local_stack(stack: dict[str, str]) -> None:
    assert login(stack, write=True) == ("http://127.0.0.1:8123/", "default", "writers", "sequence")


def test_settings_of_the_stack_select_port_database_and_passwords(stack: dict[str, str]) -> None:
    own = {
        "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "18123",
        "SEQUENCE_CLICKHOUSE_DATABASE": "shop",
        "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": "w",
        "SEQUENCE_LOCAL_ANALYST_PASSWORD": "a",
    }

    assert login(stack | own) == ("http://127.0.0.1:18123/", "analyst", "a", "shop")
    assert login(stack | own, write=True) == ("http://127.0.0.1:18123/", "default", "w", "shop")


@pytest.mark.parametrize(
    ("url", "requested"),
    [
        ("http://db.example", "http://db.example:8123/"),
        ("https://db.example", "https://db.example:8443/"),
        ("https://db.example/clickhouse", "https://db.example:443/clickhouse/"),
        ("http://ada:secret@[::1]:18123", "http://[::1]:18123/"),
    ],
)
def test_url_that_is_set_selects_the_server(stack: dict[str, str], url: str, requested: str) -> None:
    environ = stack | SERVER | {"SEQUENCE_CLICKHOUSE_URL": url}

    assert login(environ) == (requested, "analyst", "servers", "sequence")


def test_empty_url_selects_the_local_stack(stack: dict[str, str]) -> None:
    assert login(stack | SERVER | {"SEQUENCE_CLICKHOUSE_URL": ""})[2] == "analysts"


@pytest.mark.parametrize("write", [False, True])
def test_password_is_not_used_while_the_stack_is_stopped(tmp_path: Path, *, write: bool) -> None:
    """Whoever listens on the port of a stopped stack must not get it."""
    for name in (passwords.WRITER_FILE, passwords.ANALYST_FILE):
        (tmp_path / name).write_text("value\n")
    environ = {"SEQUENCE_STATE_DIR": str(tmp_path)}

    with pytest.raises(SqlError, match="does not run"):
        sql.choose_target(environ, write=write)
    with state_lock.held(tmp_path):
        assert sql.choose_target(environ, write=write).password == "value"
    with pytest.raises(SqlError, match="does not run"):
        sql.choose_target(environ, write=write)


def test_write_on_a_server_is_refused(stack: dict[str, str]) -> None:
    with pytest.raises(SqlError, match=r"--write is for the local stack only.*unset SEQUENCE_CLICKHOUSE_URL"):
        sql.choose_target(stack | SERVER, write=True)


def test_server_without_a_password_is_refused(stack: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD: must be set"):
        sql.choose_target(stack | {"SEQUENCE_CLICKHOUSE_URL": "http://db.example"}, write=False)


def test_stack_that_was_never_started_is_named_with_its_directory(tmp_path: Path) -> None:
    environ = {"SEQUENCE_STATE_DIR": str(tmp_path / "state")}

    result = CliRunner().invoke(main, ["sql", "SELECT 1"], env=environ | {"SEQUENCE_CLICKHOUSE_URL": None})

    assert result.exit_code == 1
    assert result.output.startswith(f"Error: No local stack has been started with the state directory {tmp_path}")
    assert len(result.output.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_password_is_not_in_the_text_of_a_target(stack: dict[str, str]) -> None:
    assert "analysts" not in repr(sql.choose_target(stack, write=False))


@pytest.mark.parametrize("arguments", [("-",), (), (" \n",)])
def test_empty_statement_is_a_usage_error(stack: dict[str, str], arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["sql", *arguments], env=stack, input=" \n")

    assert result.exit_code == 2
    assert "The statement is empty." in result.output


class Terminal(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_statement_is_required_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("SELECT 1"))

    with pytest.raises(click.UsageError, match="Pass a statement"):
        sql.read_statement(None)
