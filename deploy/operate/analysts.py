"""`sequence analyst`: logins that read the typed views of one project.

On a ClickHouse server a login is a user with a role. The engine of the local stack has no users of its own; there a
login is an entry of a file in the state directory, which the embedded server reads.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from deploy.embedded.clickhouse.logins import Login, LoginsFile, digest
from deploy.errors import ArgumentError, OperateError
from deploy.operate import status_local
from deploy.operate.servers import Servers
from gateway.projects.admin import list_projects
from processors.clickhouse import access
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.typed_views.naming import database_name
from processors.typed_views.store import ViewStore
from schemas.clickhouse.quoting import quoted
from schemas.clickhouse.replicated import replicated

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESERVED = frozenset({"analyst", "default"})
_EXISTS, _NO_STORAGE = 493, 514
"""ClickHouse's codes for a user that exists, and for a server on which no statement can create one."""


@dataclass(frozen=True, slots=True)
class ProjectLogin:
    """A login that reads the views of a project."""

    name: str
    project_id: str
    database: str


class Logins(Protocol):
    """The logins of projects. Raises `ArgumentError` for a name that is taken, or that is no login of a project."""

    def all(self) -> list[ProjectLogin]:
        """Return the logins, sorted by name."""

    def create(self, name: str, project_id: str) -> str:
        """Create a login and return its password."""

    def rotate(self, name: str) -> str:
        """Return a new password, which takes effect at once in place of the old one."""

    def revoke(self, name: str) -> None:
        """Remove the login. Statements that it has begun run to their end."""


def logins(found: Servers, clickhouse: ClickHouse, environ: Mapping[str, str]) -> Logins:
    """Return the logins on *clickhouse* of *found*."""
    if found.is_local:
        return LocalLogins(status_local.directory(environ), clickhouse.database)
    return ServerLogins(clickhouse, found.clickhouse.username)


def check_project(found: Servers, clickhouse: ClickHouse, project_id: str) -> None:
    """Raise `ArgumentError` if there is no project *project_id*. One without events has no views yet."""
    if project_id in ViewStore(clickhouse).shapes():
        return
    if project_id not in {project.id for project in found.ask_kafka(list_projects)}:
        raise ArgumentError(f"There is no project {project_id}. `sequence project list` shows all projects.")


def make_database(clickhouse: ClickHouse, project_id: str) -> None:
    """Create the database of the project's views, which a login selects. The sink does it with the first event."""
    ViewStore(clickhouse).create_database(database_name(clickhouse.database, project_id))


def has_views(clickhouse: ClickHouse, login: ProjectLogin) -> bool:
    """Return whether the views that *login* reads exist."""
    return bool(ViewStore(clickhouse).views(login.database))


def refusal(found: Servers, login: ProjectLogin, password: str) -> str:
    """Return why *login* cannot be used yet, empty text if it can.

    The local stack refuses it while other statements run, if its project is new.
    """
    connection = ClickHouse(replace(found.clickhouse, username=login.name, password=password), database=login.database)
    try:
        connection.query("SELECT 1")
    except ClickHouseError as error:
        return str(error)
    finally:
        connection.close()
    return ""


class LocalLogins:
    """The logins of the local stack with the state directory *state*."""

    def __init__(self, state: Path, base: str) -> None:
        self._file = LoginsFile(state)
        self._base = base

    def all(self) -> list[ProjectLogin]:
        """Return the logins, sorted by name."""
        found = self._file.all().values()
        return sorted((ProjectLogin(each.name, each.project_id, each.database) for each in found), key=_name)

    def create(self, name: str, project_id: str) -> str:
        """Create a login and return its password."""
        _check_name(name)
        password = _new_password()
        with self._file.changing() as present:
            if name in present:
                raise _taken(name)
            present[name] = Login(name, project_id, database_name(self._base, project_id), digest(password))
        return password

    def rotate(self, name: str) -> str:
        """Return a new password, which takes effect at once in place of the old one."""
        password = _new_password()
        with self._file.changing() as present:
            if name not in present:
                raise _unknown(name)
            login = present[name]
            present[name] = Login(login.name, login.project_id, login.database, digest(password))
        return password

    def revoke(self, name: str) -> None:
        """Remove the login."""
        with self._file.changing() as present:
            if present.pop(name, None) is None:
                raise _unknown(name)


class ServerLogins:
    """The logins on the server of *clickhouse*, whose user *own_name* needs access management."""

    def __init__(self, clickhouse: ClickHouse, own_name: str) -> None:
        self._clickhouse = clickhouse
        self._base = clickhouse.database
        self._own_name = own_name

    def all(self) -> list[ProjectLogin]:
        """Return the logins, sorted by name."""
        return [
            ProjectLogin(row["name"], row["project_id"], database_name(self._base, row["project_id"]))
            for row in self._clickhouse.query(access.project_logins(self._base))
        ]

    def create(self, name: str, project_id: str) -> str:
        """Create a login and return its password."""
        _check_name(name, self._own_name)
        password = _new_password()
        database = database_name(self._base, project_id)
        *before, grant = access.create_project_login(self._base, name, project_id, database, password)
        try:
            for statement in before:
                self._execute(statement)
        except ClickHouseError as error:
            raise {_EXISTS: _taken(name), _NO_STORAGE: _no_storage()}.get(error.code or 0, error) from error
        try:
            self._execute(grant)
        except ClickHouseError:
            self._execute(f"DROP USER IF EXISTS {quoted(name)}")
            raise
        return password

    def rotate(self, name: str) -> str:
        """Return a new password, which takes effect at once in place of the old one."""
        self._check_login(name)
        password = _new_password()
        self._execute(access.set_password(name, password))
        return password

    def revoke(self, name: str) -> None:
        """Remove the login. Statements that it has begun run to their end."""
        self._check_login(name)
        self._execute(f"DROP USER {quoted(name)}")

    def _execute(self, statement: str) -> None:
        self._clickhouse.execute(replicated(statement, self._clickhouse.cluster))

    def _check_login(self, name: str) -> None:
        if name not in {login.name for login in self.all()}:
            raise _unknown(name)


def _name(login: ProjectLogin) -> str:
    return login.name


def _new_password() -> str:
    return secrets.token_hex(16)


def _check_name(name: str, *others: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ArgumentError(f"{name!r} is no name of a login: use 1 to 64 letters, digits, `_` and `-`.")
    if name in {*_RESERVED, *others}:
        raise ArgumentError(f"{name} is a login of Sequence events itself. Choose another name.")


def _taken(name: str) -> ArgumentError:
    return ArgumentError(
        f"There is a login {name} already. `sequence analyst rotate {name}` gives it a new password; "
        "`sequence analyst list` shows the project of each login."
    )


def _no_storage() -> OperateError:
    return OperateError(
        "ClickHouse keeps its users in a file only, so no statement can create one. On a server, add a local_directory "
        "to its user_directories. If SEQUENCE_CLICKHOUSE_URL names the local stack, unset it."
    )


def _unknown(name: str) -> ArgumentError:
    return ArgumentError(f"{name} is no login of a project. `sequence analyst list` shows all.")
