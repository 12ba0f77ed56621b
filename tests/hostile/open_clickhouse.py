"""A control: the embedded ClickHouse server without passwords, without the check of a request's source, and with GETs
that may write.
"""

from __future__ import annotations

from deploy.embedded.clickhouse import __main__ as server_process
from deploy.embedded.clickhouse import server
from deploy.embedded.clickhouse.access import Users
from deploy.embedded.clickhouse.roles import Role


class WriterOnly:
    """In place of the roles: every request may write."""

    WRITER = READER = ANALYST = Role.WRITER


def _accept(*_: object) -> None:
    """Accept a request from anywhere, and any password."""


if __name__ == "__main__":
    vars(server).update(check_source=_accept, Role=WriterOnly)
    setattr(Users, "authenticate", _accept)  # noqa: B010  # mypy forbids to assign a method
    server_process.main()
