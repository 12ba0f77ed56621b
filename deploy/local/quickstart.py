"""Quickstart of a fresh stack: a development project with a token, and a line each to show it, to send and to query.

The lines contain no secret, so they can be pasted into a shell and the output of a start can be kept.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies_environment

from deploy import secret_files
from deploy.settings import LocalSettings
from gateway.errors import ProjectExistsError, TokenExistsError
from gateway.projects.admin import create_project, create_token
from gateway.settings import GatewaySettings
from schemas.projects import Scope
from schemas.settings import ClickHouseSettings, KafkaSettings

PROJECT = "dev"
TOKEN_FILE = "dev-token"  # noqa: S105  # the name of a file
OPERATE_TOKEN_FILE = "operate-token"  # noqa: S105  # as above

_EXAMPLE = (
    '{"batch":[{"type":"identify","userId":"ada","traits":{"plan":"pro"}},'
    '{"type":"track","userId":"ada","event":"Order Completed","properties":{"price":42.5}}]}'
)
_QUERY = "SELECT event, user_id, properties FROM events"
_DEFAULTS = {
    "SEQUENCE_STATE_DIR": LocalSettings().state_dir,
    "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "8123",
    "SEQUENCE_CLICKHOUSE_DATABASE": ClickHouseSettings().database,
}
"""Variables by which `sequence sql` finds the stack, with their defaults."""


async def development_token(kafka: KafkaSettings, file: Path) -> str:
    """Return the development project's token, which is stored in *file*; create project and token when missing.

    A token that Kafka lost together with its data is registered again. A revoked token stays revoked.
    """
    with contextlib.suppress(ProjectExistsError):
        await create_project(kafka, PROJECT, "Development")
    return await _kept_token(kafka, file, PROJECT, "write")


async def operate_token(kafka: KafkaSettings, file: Path) -> str:
    """Return the token that opens the console for all projects, which is stored in *file*; create it when missing."""
    return await _kept_token(kafka, file, "", "operate")


async def _kept_token(kafka: KafkaSettings, file: Path, project_id: str, scope: Scope) -> str:
    if stored := secret_files.read(file):
        with contextlib.suppress(TokenExistsError):
            await create_token(kafka, project_id, token=stored, scope=scope)
        return stored
    token = await create_token(kafka, project_id, scope=scope)
    secret_files.write(file, token)
    return token


@dataclass(frozen=True, slots=True)
class Commands:
    """Two commands as a shell takes them."""

    token: str
    """Prints the token."""
    sql: str
    """Runs the statement that follows it."""


def local_commands(token_file: Path, environ: Mapping[str, str]) -> Commands:
    """Return the commands for the stack that runs with *environ*, for another shell in the working directory."""
    variables = [
        f"{name}={shlex.quote(environ[name])}"
        for name, default in _DEFAULTS.items()
        if environ.get(name, "") not in {"", default}
    ]
    if environ.get("SEQUENCE_CLICKHOUSE_URL"):
        variables.append("SEQUENCE_CLICKHOUSE_URL=")
    return Commands(f"cat {_path(token_file)}", " ".join([*variables, _program(), "sql"]))


def _program() -> str:
    """Return how a shell in the working directory starts the `sequence` command of this installation."""
    own = Path(sys.executable).with_name("sequence")
    if not own.exists():
        return f"{_path(Path(sys.executable))} -m deploy.cli"
    found = shutil.which("sequence")
    return "sequence" if found and own.samefile(found) else _path(own)


def _path(path: Path) -> str:
    """Return *path* for a shell: relative to the working directory if it is below it."""
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.quote(f"./{shown}" if str(shown).startswith("-") else str(shown))


def quickstart(commands: Commands, gateway: GatewaySettings) -> str:
    """Return the text shown when the stack is ready: commands to paste into a shell."""
    # The certificate names the public host, not 127.0.0.1.
    insecure = ["--insecure"] if gateway.scheme == "https" else []
    # curl sends even requests for 127.0.0.1 to the proxy that the environment names.
    direct = ["--noproxy", "127.0.0.1"] if getproxies_environment().keys() & {"http", "https", "all"} else []
    url = f"{gateway.scheme}://127.0.0.1:{gateway.port}/event/batch"
    post = [
        shlex.join(["curl", "-sS", *insecure, *direct, url, "-H"]),
        f'"Authorization: Bearer $({commands.token})"',
        shlex.join(["-H", "Content-Type: application/json", "-d", _EXAMPLE]),
    ]
    return (
        "Paste these commands into another shell in this directory.\n\n"
        f"Show the token of project {PROJECT!r}:\n\n  {commands.token}\n\n"
        f"Send events:\n\n  {' '.join(post)}\n\n"
        f"Query them:\n\n  {commands.sql} {shlex.quote(_QUERY)}\n"
    )


def ready_text(unready: Sequence[str], seconds: float) -> str:
    """Return the line about a stack that was started in *seconds*; *unready* are the services that are not ready."""
    if unready:
        return f"Not ready after {seconds:.1f} s: {', '.join(unready)}. The other parts run. Press Ctrl-C to stop."
    return f"Ready after {seconds:.1f} s. Press Ctrl-C to stop."


def console_lines(url: str, token_file: Path) -> str:
    """Return the text about the console: its address, and the command that shows the token which opens it."""
    return f"Console: {url}/\n\nShow the token that opens it:\n\n  cat {_path(token_file)}\n"
