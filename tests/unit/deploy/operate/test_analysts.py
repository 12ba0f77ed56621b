"""Logins of projects on a ClickHouse server, by the statements that it gets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy.errors import ArgumentError
from deploy.operate.analysts import ProjectLogin, ServerLogins
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.typed_views.naming import database_name
from schemas.settings import ClickHouseSettings


class Server(ClickHouse):
    """A server that knows users and their roles, and refuses what a server refuses."""

    def __init__(self, *, may_grant: bool = True) -> None:
        super().__init__(ClickHouseSettings(database="sequence"))
        self.users: dict[str, str] = {"admin": "", "somebody": ""}
        self.passwords: dict[str, str] = {}
        self._may_grant = may_grant

    def execute(self, sql: str, body: bytes | None = None, settings: Any = None) -> int:
        del body, settings
        if found := re.match(r"(CREATE|ALTER) USER `(.*?)` .* BY '(\w+)'", sql):
            if found[1] == "CREATE" and found[2] in self.users:
                raise ClickHouseError("exists", 493)
            self.users.setdefault(found[2], "")
            self.passwords[found[2]] = found[3]
        elif found := re.match("GRANT `(.*)` TO `(.*)`", sql):
            if not self._may_grant:
                raise ClickHouseError("Not enough privileges", 497)
            self.users[found[2]] = found[1]
        elif found := re.match("DROP USER (?:IF EXISTS )?`(.*)`", sql):
            del self.users[found[1]]
        else:
            assert re.match(r"CREATE ROLE IF NOT EXISTS |GRANT SELECT ON `\w+`\.\* TO ", sql)
        return 0

    def query(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        del parameters
        assert "system.role_grants" in sql
        prefix = "sequence analyst of "
        return [
            {"name": name, "project_id": role.removeprefix(prefix)}
            for name, role in sorted(self.users.items())
            if role.startswith(prefix)
        ]


def test_login_is_a_user_with_the_role_of_its_project() -> None:
    server = Server()
    logins = ServerLogins(server, "admin")
    logins.create("bob", "my-shop")
    logins.create("ana", "shop")

    assert server.users["ana"] == "sequence analyst of shop"
    assert logins.all() == [
        ProjectLogin("ana", "shop", "sequence_shop"),
        ProjectLogin("bob", "my-shop", database_name("sequence", "my-shop")),
    ]


def test_new_password_replaces_the_old_one() -> None:
    server = Server()
    logins = ServerLogins(server, "admin")
    first = logins.create("ana", "shop")
    before = server.passwords["ana"]
    second = logins.rotate("ana")

    assert first != second
    assert server.passwords["ana"] != before
    assert not {first, second} & {before, server.passwords["ana"]}


def test_revoked_login_is_no_user() -> None:
    server = Server()
    logins = ServerLogins(server, "admin")
    logins.create("ana", "shop")
    logins.revoke("ana")

    assert server.users == {"admin": "", "somebody": ""}


@pytest.mark.parametrize("name", ["somebody", "admin", "analyst", "default", "a b", ""])
def test_user_of_somebody_else_is_not_touched(name: str) -> None:
    server = Server()
    logins = ServerLogins(server, "admin")
    with pytest.raises(ArgumentError):
        logins.create(name, "shop")
    for change in (logins.rotate, logins.revoke):
        with pytest.raises(ArgumentError):
            change(name)

    assert server.users == {"admin": "", "somebody": ""}
    assert server.passwords == {}


def test_login_that_cannot_be_granted_its_role_does_not_stay() -> None:
    server = Server(may_grant=False)
    with pytest.raises(ClickHouseError, match="Not enough privileges"):
        ServerLogins(server, "admin").create("ana", "shop")

    assert server.users == {"admin": "", "somebody": ""}
