"""The `passwords` service of the compose file: generates the passwords of ClickHouse's users before anything starts.

It is idempotent: another run keeps the passwords. Each is in a directory of its own, a volume that only the services
that need it mount. ClickHouse gets a file of its `users.d` with the hash of the writer's password.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import click

from deploy import secret_files
from deploy.error_messages import report_errors
from deploy.settings import LocalSettings, state_directory
from processors.settings import AnalystSettings
from schemas.settings import ClickHouseSettings, load

WRITER = "sequence"
"""The user that writes the tables, in place of `default`."""
WRITER_FILE, ANALYST_FILE, USERS_FILE = "writer/password", "analyst/password", "users.d/sequence.xml"

_USERS = """\
<clickhouse>
  <users>
    <default remove="remove"/>
    <{user}>
      <password_sha256_hex>{digest}</password_sha256_hex>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </{user}>
  </users>
</clickhouse>
"""


@dataclass(frozen=True, slots=True)
class PasswordSettings:
    """The passwords, generated unless they are set, and the directory of their volumes."""

    local: LocalSettings = field(default_factory=LocalSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    analyst: AnalystSettings = field(default_factory=AnalystSettings)


@click.command()
@report_errors
def main() -> None:
    """Generate the passwords that are missing."""
    settings = load(PasswordSettings)
    directory = state_directory(settings.local)
    writer = secret_files.keep_password(directory / WRITER_FILE, settings.clickhouse.password)
    secret_files.keep_password(directory / ANALYST_FILE, settings.analyst.password)
    _write_public(directory / USERS_FILE, users(writer))


def users(password: str) -> str:
    """Return ClickHouse's configuration of its users, with the hash of the writer's *password*."""
    return _USERS.format(user=WRITER, digest=hashlib.sha256(password.encode()).hexdigest())


def _write_public(file: Path, text: str) -> None:
    """Write a file that ClickHouse, which runs as another user, can read; ClickHouse may be reading it now."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.chmod(0o644)
    unfinished.replace(file)


if __name__ == "__main__":
    main()
