"""Who may connect: the writer, the analyst of all projects, and the logins of projects."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.logins import Login, LoginsFile
from deploy.embedded.clickhouse.roles import Role, project_role
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.errors import StateError
from deploy.settings import state_directory
from schemas.settings import SettingsError

ANALYST = "analyst"
WRITER = "default"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class User:
    """Who sends a request."""

    name: str
    project_database: str = ""
    """Of a login of a project: the only database that it may read."""

    def role(self, *, is_get: bool) -> str:
        """Return the role of a request."""
        if self.project_database:
            return project_role(self.project_database)
        return Role.ANALYST if self.name == ANALYST else Role.READER if is_get else Role.WRITER


@dataclass(frozen=True, slots=True)
class Users:
    """All users. Nobody authenticates with an empty password."""

    writer_password: str
    analyst_password: str
    file: LoginsFile

    def authenticate(self, name: str, password: str) -> User:
        """Return the user with *name* and *password*; raises `QueryError` if there is none."""
        fixed = {WRITER: self.writer_password, ANALYST: self.analyst_password}
        if name in fixed:
            expected = fixed[name].encode()
            if expected and hmac.compare_digest(expected, password.encode(errors="surrogateescape")):
                return User(name)
        elif (login := self._logins().get(name)) is not None and login.has_password(password):
            return User(name, login.database)
        raise QueryError(516, f"{name}: Authentication failed: password is incorrect, or there is no such user.")

    def project_databases(self) -> set[str]:
        """Return the databases that a login of a project may read."""
        return {login.database for login in self._logins().values()}

    def _logins(self) -> Mapping[str, Login]:
        try:
            return self.file.all()
        except StateError as error:
            log.warning("no login of a project works: %s", error)
            return {}


def users(settings: EmbeddedClickHouseSettings) -> Users:
    """Return the users of *settings*; raises `SettingsError` if the writer or the analyst has no password."""
    passwords = {
        "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": settings.password,
        "SEQUENCE_LOCAL_ANALYST_PASSWORD": settings.analyst_password,
    }
    missing = [
        f"{variable}: must not be empty, because every program on this machine and every web page in a browser on it "
        "reaches the server; `sequence up` generates a password"
        for variable, password in passwords.items()
        if not password
    ]
    if missing:
        raise SettingsError("\n".join(missing))
    return Users(settings.password, settings.analyst_password, LoginsFile(state_directory(settings.local)))
