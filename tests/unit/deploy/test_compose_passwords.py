"""Passwords of the compose file: generated on volumes, and given to the services that need them."""

from __future__ import annotations

import hashlib
import re
import stat
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.docker import passwords
from deploy.docker.passwords import PasswordSettings
from deploy.sql import SqlSettings
from processors.settings import WorkerSettings
from schemas.settings import declarations, load
from tests.support.containers import instructions, mounted, services


@dataclass(frozen=True, slots=True)
class AllSecrets:
    """Settings of every service, some of which are secrets."""

    worker: WorkerSettings = field(default_factory=WorkerSettings)
    sql: SqlSettings = field(default_factory=SqlSettings)


SECRETS = {declared.variable for declared in declarations(AllSecrets) if declared.secret}
WRITERS, ANALYSTS = {"init", "sink", "audit"}, {"init", "sql", "console"}
"""Services that get the password of the writer and of the analyst."""


def test_no_password_is_in_the_compose_file() -> None:
    environments = [service.get("environment", {}) for service in services().values()]

    assert not [name for environment in environments for name in environment if environment[name] and is_secret(name)]
    # The official image would create users from these.
    assert services()["clickhouse"]["environment"] == {"CLICKHOUSE_SKIP_USER_SETUP": "1"}


def is_secret(name: str) -> bool:
    return "PASSWORD" in name and not name.endswith("_FILE")


@pytest.mark.parametrize(
    "service", sorted(services().keys() - {"passwords", "kafka", "clickhouse", "prometheus", "grafana"})
)
def test_secrets_of_the_environment_file_reach_no_service(service: str) -> None:
    environment = services(dict.fromkeys(SECRETS, "s3cret"))[service]["environment"]
    files = {name: environment[f"{name}_FILE"] for name in SECRETS}

    assert {environment[name] for name in SECRETS} == {""}
    assert {name for name, file in files.items() if file} == {
        name
        for name, users in (
            ("SEQUENCE_CLICKHOUSE_PASSWORD", WRITERS),
            ("SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD", ANALYSTS),
        )
        if service in users
    }


def test_passwords_of_the_environment_file_reach_the_service_that_stores_them() -> None:
    chosen = {"SEQUENCE_CLICKHOUSE_PASSWORD": "mine", "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "hers"}

    settings = load(PasswordSettings, services(chosen)["passwords"]["environment"])

    assert (settings.clickhouse.password, settings.analyst.password) == ("mine", "hers")


@pytest.mark.parametrize(
    ("volume", "file", "variable", "users"),
    [
        ("writer", passwords.WRITER_FILE, "SEQUENCE_CLICKHOUSE_PASSWORD_FILE", WRITERS),
        ("analyst", passwords.ANALYST_FILE, "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD_FILE", ANALYSTS),
    ],
)
def test_service_mounts_only_the_passwords_that_it_reads(
    volume: str, file: str, variable: str, users: set[str]
) -> None:
    found = services()
    stored = f"{found['passwords']['environment']['SEQUENCE_STATE_DIR']}/{file}"

    assert {name for name in found if mounted(name, volume)} == {"passwords", *users}
    assert stored.startswith(f"{mounted('passwords', volume)}/")
    for user in users:
        assert mounted(user, volume) == mounted("passwords", volume)
        assert found[user]["environment"][variable] == stored
        assert f"{volume}:{mounted(user, volume)}:ro" in found[user]["volumes"]


def test_clickhouse_reads_its_users_from_the_volume_that_only_passwords_writes() -> None:
    found = services()
    (mount,) = [mount for mount in found["clickhouse"]["volumes"] if isinstance(mount, dict)]

    assert {name for name in found if mounted(name, "users")} == {"passwords", "clickhouse"}
    assert (mount["target"], mount["read_only"], mount["volume"]) == (
        "/etc/clickhouse-server/users.d",
        True,
        {"nocopy": True},
    )
    assert f"{found['passwords']['environment']['SEQUENCE_STATE_DIR']}/users.d" == mounted("passwords", "users")
    assert found["clickhouse"]["depends_on"] == {"passwords": {"condition": "service_completed_successfully"}}
    assert {found[name]["environment"]["SEQUENCE_CLICKHOUSE_USERNAME"] for name in WRITERS} == {passwords.WRITER}


def test_image_has_the_directories_that_give_volumes_their_owner() -> None:
    made = " ".join(instructions("RUN"))

    for volume in ("writer", "analyst", "users"):
        target = mounted("passwords", volume)
        assert re.search(rf"--owner=sequence --group=sequence --mode=0\d{{3}} [^&]*{target}\b", made), target


def test_passwords_are_generated_once_and_clickhouse_gets_a_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for volume in ("writer", "analyst", "users.d"):
        (tmp_path / volume).mkdir()
    monkeypatch.setenv("SEQUENCE_STATE_DIR", str(tmp_path))
    found: list[dict[str, str]] = []
    files: dict[str, Path] = {}
    for _ in range(2):
        done = CliRunner().invoke(passwords.main, [])
        assert (done.exit_code, done.output) == (0, "")
        files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
        found.append({name: path.read_text() for name, path in files.items()})

    assert found[0] == found[1]
    assert {name: stat.S_IMODE(path.stat().st_mode) for name, path in files.items()} == {
        passwords.WRITER_FILE: 0o600,
        passwords.ANALYST_FILE: 0o600,
        passwords.USERS_FILE: 0o644,
    }
    writer, analyst = (found[0][name].strip() for name in (passwords.WRITER_FILE, passwords.ANALYST_FILE))
    assert writer != analyst
    users = ET.fromstring(found[0][passwords.USERS_FILE])  # noqa: S314  # it is our own
    assert users.findall("users/default[@remove='remove']")
    assert users.findtext("users/sequence/password_sha256_hex") == hashlib.sha256(writer.encode()).hexdigest()
    assert users.findtext("users/sequence/access_management") == "1"
    assert writer not in found[0][passwords.USERS_FILE]
