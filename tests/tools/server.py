"""The server that the tools query: an embedded ClickHouse with the rows of a shop, its typed views and two logins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.operate.analysts import LocalLogins
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from processors.typed_views.naming import database_name
from tests.support import services, shop
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.counted import make_views

PROJECT = "dev"
DATABASE = "sequence"


@dataclass(frozen=True, slots=True)
class Login:
    """A login with which a tool connects, and the database that it enters."""

    name: str
    password: str
    database: str
    events: str
    """Table or view with all events of the shop."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    host: str
    port: int
    analyst: Login
    project: Login
    writer: Login

    @property
    def url(self) -> str:
        """Its address without a login."""
        return f"http://{self.host}:{self.port}"

    @property
    def logins(self) -> list[Login]:
        """The logins of readers."""
        return [self.analyst, self.project]


@contextmanager
def running(directory: Path) -> Iterator[Server]:
    """Yield a server with its state in *directory*."""
    with services.running(services.embedded_clickhouse(directory)) as service:
        settings = services.clickhouse_settings(service.address, DATABASE)
        migrate(settings)
        client = ClickHouseHttp(service.address)
        shop.fill(client)
        with closing(ClickHouse(settings, answer_seconds=60)) as counting:
            make_views(counting)
        host, _, port = client.netloc.partition(":")
        views = database_name(DATABASE, PROJECT)
        password = LocalLogins(directory, DATABASE).create("ana", PROJECT)
        yield Server(
            host,
            int(port),
            Login("analyst", services.ANALYST_PASSWORD, DATABASE, "events"),
            Login("ana", password, views, "tracks"),
            Login("default", services.WRITER_PASSWORD, DATABASE, "events"),
        )
