"""A ClickHouse server with the events of two projects and a login for each, as the local stack has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.embedded.clickhouse.roles import project_role
from deploy.local import state_lock
from deploy.local.passwords import WRITER_FILE
from deploy.operate.analysts import LocalLogins
from processors.typed_views.naming import database_name
from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.project_escapes import SECRET
from tests.support.records import identify, track
from tests.support.warehouse import Warehouse

OWN, OTHER = "shop", "qqproject"


@dataclass(frozen=True, slots=True)
class Stack:
    """The server, its tables and views, and a client for the login of each project."""

    server: services.Service
    warehouse: Warehouse
    logins: LocalLogins
    own: ClickHouseHttp
    other: ClickHouseHttp

    def client(self, name: str, password: str) -> ClickHouseHttp:
        """Return a client for a login."""
        return ClickHouseHttp(f"http://{ClickHouseHttp(self.server.address).netloc}", name, password)

    def database(self, project: str) -> str:
        """Return the database of the views of *project*."""
        return database_name(self.warehouse.base, project)

    def filled(self, statement: str) -> str:
        """Return *statement* of an escape with the names of this server."""
        names = {"base": self.warehouse.base, "own": self.database(OWN), "other": self.database(OTHER)}
        names |= {"u": f"http://{self.own.netloc}", "role": project_role(self.database(OTHER))}
        for name, value in names.items():
            statement = statement.replace(f"{{{name}}}", value)
        return statement

    def command(self, *arguments: str) -> Result:
        """Run `sequence analyst` on this stack."""
        address = urlsplit(self.server.address)
        environ = {
            "SEQUENCE_STATE_DIR": str(self.server.directory),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(address.port),
            "SEQUENCE_CLICKHOUSE_DATABASE": self.warehouse.base,
            "SEQUENCE_LOCAL_KAFKA_PORT": "1",
        }
        return CliRunner().invoke(main, ["analyst", *arguments], env=environ)

    def leaks(self, client: ClickHouseHttp, statements: Sequence[str]) -> list[str]:
        """Return those of *statements* that answer with data or names of the other project which they do not have."""
        found = []
        for statement in statements:
            filled = self.filled(statement)
            text = client.send(filled, param_t="tracks", param_d=self.database(OTHER)).text
            typed = filled.replace("{d:", OTHER)
            if any(name in text and name not in typed for name in (SECRET, "qqevent", "qqhidden", OTHER)):
                found.append(statement)
        return found


@contextmanager
def running(state: Path) -> Iterator[Stack]:
    """Run the server with the state directory *state* for the block."""
    (state / WRITER_FILE).write_text(f"{services.WRITER_PASSWORD}\n")
    with state_lock.held(state), services.running(services.embedded_clickhouse(state)) as server:
        warehouse = Warehouse(server.address)
        warehouse.write(
            track("m1", event="Order Completed", properties=b'{"price":42.5,"plan":"pro"}', project_id=OWN),
            identify("i1", traits=b'{"plan":"pro"}', project_id=OWN),
            track("m2", event="Qqevent", properties=f'{{"qqhidden":"{SECRET}"}}'.encode(), project_id=OTHER),
            identify("i2", traits=f'{{"qqhidden":"{SECRET}"}}'.encode(), project_id=OTHER),
        )
        warehouse.made()
        logins = LocalLogins(state, warehouse.base)
        url = f"http://{ClickHouseHttp(server.address).netloc}"
        own, other = (ClickHouseHttp(url, name, logins.create(name, name)) for name in (OWN, OTHER))
        yield Stack(server, warehouse, logins, own, other)
        warehouse.drop()
