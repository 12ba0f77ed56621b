"""Passwords of the local stack's ClickHouse: generated at the first start and kept beside the development token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy import secret_files
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from schemas import secret_variables

WRITER_FILE = "clickhouse-password"
"""Password of the user `default`."""
ANALYST_FILE = "analyst-password"


def keep(state: Path, settings: EmbeddedClickHouseSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ*, from which *settings* were loaded, with both passwords; generate those that are missing.

    They are stored in *state*. A password that is set takes precedence over the stored one and replaces it, so that
    `sequence sql` finds it. Raises `StateError` if a file cannot be read or written.
    """
    passwords = {
        "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": secret_files.keep_password(state / WRITER_FILE, settings.password),
        "SEQUENCE_LOCAL_ANALYST_PASSWORD": secret_files.keep_password(state / ANALYST_FILE, settings.analyst_password),
    }
    files = {f"{variable}{secret_variables.SUFFIX}" for variable in passwords}
    return {**{name: value for name, value in environ.items() if name not in files}, **passwords}


def find(state: Path, settings: EmbeddedClickHouseSettings, *, writer: bool) -> str:
    """Return the password of the user `default` or of `analyst`, an empty text if the stack has not been started."""
    if writer:
        return settings.password or secret_files.read(state / WRITER_FILE)
    return settings.analyst_password or secret_files.read(state / ANALYST_FILE)
