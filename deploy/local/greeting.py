"""The development project: its token, kept in the state directory, and two lines to paste that show the pipeline work."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from gateway.projects import create_project, create_token, list_tokens
from schemas.projects import token_id
from schemas.settings import ClickHouseSettings, KafkaSettings

PROJECT = "dev"

_EXAMPLE = (
    '{"batch":[{"type":"identify","userId":"ada","traits":{"plan":"pro"}},'
    '{"type":"track","userId":"ada","event":"Order Completed","properties":{"price":42.5}}]}'
)


def greeting(token: str, gateway_port: int, clickhouse: ClickHouseSettings) -> str:
    """Return what is said when the stack is ready: the token, a line that posts events, a line that queries them."""
    url = f"http://127.0.0.1:{gateway_port}/event/batch"
    query = f"SELECT event, user_id, properties FROM {clickhouse.database}.events FORMAT JSONEachRow"
    headers = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    post = ["curl", "-sS", url, *headers, "-d", _EXAMPLE]
    select = ["curl", "-sS", clickhouse.url, "--data-binary", query]
    return (
        f"Token of the project {PROJECT!r}: {token}\n\n"
        f"Post events:\n\n  {shlex.join(post)}\n\n"
        f"Query them:\n\n  {shlex.join(select)}\n"
    )
