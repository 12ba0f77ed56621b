"""Quickstart of a fresh stack: a development project with a token, and one line each to send and to query events."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from gateway.errors import ProjectExistsError, TokenExistsError
from gateway.projects.admin import create_project, create_token
from gateway.settings import GatewaySettings
from schemas.settings import ClickHouseSettings, KafkaSettings

PROJECT = "dev"

_EXAMPLE = (
    '{"batch":[{"type":"identify","userId":"ada","traits":{"plan":"pro"}},'
    '{"type":"track","userId":"ada","event":"Order Completed","properties":{"price":42.5}}]}'
)


async def development_token(kafka: KafkaSettings, file: Path) -> str:
    """Return the development project's token, which is stored in *file*; create project and token when missing.

    A token that Kafka lost together with its data is registered again. A revoked token stays revoked.
    """
    with contextlib.suppress(ProjectExistsError):
        await create_project(kafka, PROJECT, "Development")
    if stored := _read(file):
        with contextlib.suppress(TokenExistsError):
            await create_token(kafka, PROJECT, token=stored)
        return stored
    token = await create_token(kafka, PROJECT)
    _write(file, token)
    return token


def _read(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def _write(file: Path, token: str) -> None:
    """Write *token* to a file that only its owner can read, from the first byte on."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write(f"{token}\n")
    unfinished.replace(file)


def quickstart(token: str, gateway: GatewaySettings, clickhouse: ClickHouseSettings) -> str:
    """Return the text shown when the stack is ready: the token, and two commands to paste into a shell."""
    # The certificate names the public host, not 127.0.0.1.
    insecure = ["--insecure"] if gateway.scheme == "https" else []
    url = f"{gateway.scheme}://127.0.0.1:{gateway.port}/event/batch"
    query = f"SELECT event, user_id, properties FROM {clickhouse.database}.events FORMAT JSONEachRow"  # noqa: S608  # the settings allow only an identifier
    headers = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    post = ["curl", "-sS", *insecure, url, *headers, "-d", _EXAMPLE]
    # curl prompts for the password, which must not appear on a screen.
    user = ["--user", clickhouse.username] if clickhouse.password else []
    select = ["curl", "-sS", clickhouse.url, *user, "--data-binary", query]
    return (
        f"Token of project {PROJECT!r}: {token}\n\n"
        f"Send events:\n\n  {shlex.join(post)}\n\n"
        f"Query them:\n\n  {shlex.join(select)}\n"
    )
