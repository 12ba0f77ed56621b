"""Passwords of the embedded server, and the file with the logins of projects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.logins import FILE, LoginsFile
from deploy.embedded.clickhouse.roles import Role, project_role
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.embedded.clickhouse.users import User, Users, users
from deploy.errors import ArgumentError, StateError
from deploy.operate.analysts import LocalLogins, ProjectLogin
from deploy.settings import LocalSettings
from processors.typed_views.naming import database_name
from schemas.settings import SettingsError

DATABASE = database_name("sequence", "my-shop")


@pytest.mark.parametrize("user", ["default", "analyst", "somebody", ""])
def test_empty_password_authenticates_nobody(tmp_path: Path, user: str) -> None:
    with pytest.raises(QueryError):
        Users("", "", LoginsFile(tmp_path)).authenticate(user, "")
    Users("w", "a", LoginsFile(tmp_path)).authenticate("analyst", "a")


def test_password_that_is_no_utf8_is_rejected(tmp_path: Path) -> None:
    LocalLogins(tmp_path, "sequence").create("ana", "shop")
    for user in ("analyst", "ana"):
        with pytest.raises(QueryError):
            Users("w", "a", LoginsFile(tmp_path)).authenticate(user, "\udcff")


@pytest.mark.parametrize(("writer", "analyst"), [("", "a"), ("w", ""), ("", "")])
def test_server_without_a_password_does_not_start(writer: str, analyst: str) -> None:
    with pytest.raises(SettingsError) as error:
        users(EmbeddedClickHouseSettings(password=writer, analyst_password=analyst))
    assert ("SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD" in str(error.value)) == (writer == "")
    assert ("SEQUENCE_LOCAL_ANALYST_PASSWORD" in str(error.value)) == (analyst == "")


def test_each_user_has_a_role(tmp_path: Path) -> None:
    password = LocalLogins(tmp_path, "sequence").create("ana", "my-shop")
    settings = EmbeddedClickHouseSettings(LocalSettings(state_dir=str(tmp_path)), password="w", analyst_password="a")
    known = users(settings)

    assert known.authenticate("default", "w").role(is_get=False) == Role.WRITER
    assert known.authenticate("default", "w").role(is_get=True) == Role.READER
    assert known.authenticate("analyst", "a").role(is_get=True) == Role.ANALYST
    ana = known.authenticate("ana", password)
    assert ana == User("ana", DATABASE)
    assert {ana.role(is_get=True), ana.role(is_get=False)} == {project_role(DATABASE)}
    assert known.project_databases() == {DATABASE}
    for name, wrong in (("ana", "w"), ("default", password), ("analyst", password), ("ANA", password)):
        with pytest.raises(QueryError):
            known.authenticate(name, wrong)


def test_file_has_no_password_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    password = LocalLogins(tmp_path, "sequence").create("ana", "shop")
    file = tmp_path / FILE

    assert password not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    [login] = json.loads(file.read_text())
    assert login.keys() == {"name", "projectId", "database", "passwordSha256"}


def test_logins_are_created_rotated_and_revoked(tmp_path: Path) -> None:
    logins = LocalLogins(tmp_path, "sequence")
    logins.create("bob", "shop")
    first = logins.create("ana", "shop")
    assert logins.all() == [ProjectLogin(name, "shop", "sequence_shop") for name in ("ana", "bob")]
    second = logins.rotate("ana")
    known = Users("w", "a", LoginsFile(tmp_path))
    with pytest.raises(QueryError):
        known.authenticate("ana", first)
    assert known.authenticate("ana", second) == User("ana", "sequence_shop")
    logins.revoke("ana")
    with pytest.raises(QueryError):
        known.authenticate("ana", second)
    assert [login.name for login in logins.all()] == ["bob"]


@pytest.mark.parametrize("name", ["", "a b", "ä", "a" * 65, "a/b", "analyst", "default"])
def test_name_that_cannot_be_a_login_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError):
        LocalLogins(tmp_path, "sequence").create(name, "shop")
    assert LocalLogins(tmp_path, "sequence").all() == []


def test_taken_and_unknown_names_are_refused_with_what_to_do(tmp_path: Path) -> None:
    logins = LocalLogins(tmp_path, "sequence")
    logins.create("ana", "shop")
    with pytest.raises(ArgumentError, match=r"There is a login ana already\. `sequence analyst rotate ana`"):
        logins.create("ana", "other")
    for change in (logins.rotate, logins.revoke):
        with pytest.raises(ArgumentError, match="bob is no login of a project"):
            change("bob")


def test_damaged_file_is_named_and_authenticates_nobody(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(StateError, match=r"analysts.json is no list of logins: .* Delete it"):
        LoginsFile(tmp_path).all()
    with pytest.raises(StateError):
        LocalLogins(tmp_path, "sequence").create("ana", "shop")
    with pytest.raises(QueryError):
        Users("w", "a", LoginsFile(tmp_path)).authenticate("ana", "x")
