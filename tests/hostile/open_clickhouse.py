"""A control: the embedded ClickHouse server without passwords, without the check of a request's source, and with GETs
that may write.
"""

from __future__ import annotations

from deploy.embedded.clickhouse import __main__ as server_process
from deploy.embedded.clickhouse import server
from deploy.embedded.clickhouse.roles import Role
from deploy.embedded.clickhouse.users import User, Users


class Writer(User):
    """Every request may write."""

    def role(self, *, is_get: bool) -> str:
        """Return the role of the writer."""
        del is_get
        return Role.WRITER


def _accept(*_: object) -> None:
    """Accept a request from anywhere."""


def _authenticate(users: Users, name: str, password: str) -> User:
    """Accept any password."""
    del users, password
    return Writer(name)


if __name__ == "__main__":
    vars(server).update(check_source=_accept)
    setattr(Users, "authenticate", _authenticate)  # noqa: B010  # mypy forbids to assign a method
    server_process.main()
