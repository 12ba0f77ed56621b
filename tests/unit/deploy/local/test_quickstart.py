"""The lines that the stack prints: a shell runs them as they are, in the working directory, and they hold no secret."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.docker.prepare import COMMANDS
from deploy.local.quickstart import console_lines, local_commands, quickstart, ready_text
from gateway.settings import GatewaySettings
from tests.support.containers import services

ODD_NAMES = ["plain", "with space", "it's", 'a "quote"', "$HOME", "back\\slash", "`tick`", "-dash", "größe", "a;b&c"]
FAKES = {
    # Print their arguments, one on a line.
    "curl": '#!/bin/sh\nfor argument; do printf "%s\\n" "$argument"; done\n',
    "sequence": '#!/bin/sh\nprintf "%s\\n" "$SEQUENCE_STATE_DIR" "$SEQUENCE_LOCAL_CLICKHOUSE_PORT" "$@"\n',
}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose `bin` has an installation of `sequence` and a `curl` that print their arguments."""
    for name, script in FAKES.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(script)
        file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path


def printed(shell: Path, line: str, directory: Path) -> list[str]:
    """Return the lines that a shell prints for *line*, pasted in *directory*."""
    environ = {"PATH": f"{shell / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", line], cwd=directory, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def pasted(text: str) -> list[str]:
    """Return the lines to paste."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("parent", ["working", "elsewhere"])
def test_line_to_send_reads_the_token_from_its_file(
    shell: Path, monkeypatch: pytest.MonkeyPatch, name: str, parent: str
) -> None:
    working = shell / "working"
    state = shell / parent / name
    for directory in (working, state):
        directory.mkdir(parents=True)
    (state / "dev-token").write_text("seq_dev_s3cret\n")
    monkeypatch.chdir(working)

    text = quickstart(local_commands(state / "dev-token", {}), GatewaySettings(port=18080))
    show, send, _ = pasted(text)

    assert "s3cret" not in text
    assert printed(shell, show, working) == ["seq_dev_s3cret"]
    arguments = printed(shell, send, working)
    assert arguments[:4] == ["-sS", "http://127.0.0.1:18080/event/batch", "-H", "Authorization: Bearer seq_dev_s3cret"]
    assert arguments[6] == "-d"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_line_to_query_finds_the_stack_and_the_command(shell: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    working = shell / name
    working.mkdir()
    monkeypatch.chdir(working)
    environ = {
        "SEQUENCE_STATE_DIR": str(working / "state"),
        "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "18123",
        "SEQUENCE_LOCAL_ANALYST_PASSWORD": "s3cret",
        "SEQUENCE_CLICKHOUSE_URL": "http://other.example",
    }

    text = quickstart(local_commands(working / "state" / "dev-token", environ), GatewaySettings())

    query = pasted(text)[-1]
    assert text.startswith("Paste these commands into another shell in this directory.\n")
    assert "s3cret" not in text
    assert "SEQUENCE_CLICKHOUSE_URL= " in query
    assert printed(shell, query, working) == [
        str(working / "state"),
        "18123",
        "sql",
        "SELECT event, user_id, properties FROM events",
    ]


def test_line_to_query_is_short_for_the_default_settings(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shell)
    file = shell / ".sequence" / "dev-token"
    defaults = {"SEQUENCE_STATE_DIR": ".sequence", "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "8123"}

    assert local_commands(file, defaults).sql == "bin/sequence sql"
    assert local_commands(file, defaults).token == "cat .sequence/dev-token"
    monkeypatch.setenv("PATH", f"{shell / 'bin'}:/usr/bin")
    assert local_commands(file, {}).sql == "sequence sql"


def test_sequence_of_another_installation_is_not_printed(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = shell / "other"
    other.mkdir()
    (other / "sequence").write_text("#!/bin/sh\n")
    (other / "sequence").chmod(0o755)
    monkeypatch.chdir(shell)
    monkeypatch.setenv("PATH", f"{other}:{shell / 'bin'}")

    assert local_commands(shell / "dev-token", {}).sql == "bin/sequence sql"


def test_installation_without_the_command_is_run_as_a_module(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell / "bin" / "sequence").unlink()
    monkeypatch.chdir(shell)

    assert local_commands(shell / "dev-token", {}).sql == "bin/python -m deploy.cli sql"


def test_gateway_with_tls_is_called_without_checking_the_name() -> None:
    gateway = GatewaySettings(tls_certificate_file="cert.pem")

    assert "curl -sS --insecure https://127.0.0.1:8080/event/batch" in quickstart(COMMANDS, gateway)


@pytest.mark.parametrize(("variable", "expected"), [("http_proxy", 1), ("ALL_PROXY", 1), ("OTHER", 0)])
def test_line_to_send_bypasses_a_proxy(monkeypatch: pytest.MonkeyPatch, variable: str, expected: int) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")

    assert quickstart(COMMANDS, GatewaySettings()).count("--noproxy 127.0.0.1") == expected


def test_commands_of_compose_run_its_services() -> None:
    found = services()

    for command in (COMMANDS.token, COMMANDS.sql):
        words = shlex.split(command)
        assert words[:4] == ["docker", "compose", "run", "--rm"]
        assert found[words[-1]]["profiles"] == ["tools"]


def test_console_has_its_address_and_the_command_that_shows_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = console_lines("http://127.0.0.1:8090", tmp_path / "my state" / "operate-token")

    assert text.splitlines()[0] == "Console: http://127.0.0.1:8090/"
    assert text.splitlines()[-1] == "  cat 'my state/operate-token'"


def test_stack_is_called_ready_only_if_every_part_is() -> None:
    assert ready_text([], 12.34) == "Ready after 12.3 s. Press Ctrl-C to stop."
    assert ready_text(["sink-1", "console"], 12.34).startswith("Not ready after 12.3 s: sink-1, console. The other")
