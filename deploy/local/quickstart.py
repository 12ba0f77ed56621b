"""The development project: its token, kept in the state directory, and two lines to paste that show that it works."""

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
    """Return the token of the development project, which is made the first time and kept in *file*.

    A token that Kafka has lost with its data directory is taken over again; one that was revoked stays so.
    """
    with contextlib.suppress(ProjectExistsError):
        await create_project(kafka, PROJECT, "Development")
    if kept := _read(file):
        with contextlib.suppress(TokenExistsError):
            await create_token(kafka, PROJECT, token=kept)
        return kept
    token = await create_token(kafka, PROJECT)
    _write(file, token)
    return token


def _read(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def _write(file: Path, token: str) -> None:
    """Write *token* for the owner's eyes alone, from the first byte on."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write(f"{token}\n")
    unfinished.replace(file)


def greeting(token: str, gateway: GatewaySettings, clickhouse: ClickHouseSettings) -> str:
    """Return what is said when the stack is ready: the token, a line that posts events, a line that queries them."""
    # A certificate is for the name that producers know, not for this address.
    unchecked = ["--insecure"] if gateway.scheme == "https" else []
    url = f"{gateway.scheme}://127.0.0.1:{gateway.port}/event/batch"
    query = f"SELECT event, user_id, properties FROM {clickhouse.database}.events FORMAT JSONEachRow"  # noqa: S608  # the settings allow an identifier only
    headers = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    post = ["curl", "-sS", *unchecked, url, *headers, "-d", _EXAMPLE]
    # curl asks for the password, where there is one: it does not belong on a screen.
    user = ["--user", clickhouse.username] if clickhouse.password else []
    select = ["curl", "-sS", clickhouse.url, *user, "--data-binary", query]
    return (
        f"Token of the project {PROJECT!r}: {token}\n\n"
        f"Post events:\n\n  {shlex.join(post)}\n\n"
        f"Query them:\n\n  {shlex.join(select)}\n"
    )
