"""The `sequence` command. Each service runs on its own from settings in the environment; `up` runs all of them here.

Exit codes:
   0  success, or a graceful shutdown
   1  the command failed; the message says why
   2  a setting or an argument is invalid
   3  `sequence doctor` found an error
  70  a worker met an error, or Kafka did not answer at its start; a restart recovers
  78  a worker or a gateway cannot continue until a person acts
"""

from __future__ import annotations

import click

from deploy.commands.analyst import analyst
from deploy.commands.audit import audit_command
from deploy.commands.backup import backup, restore
from deploy.commands.capacity import capacity_command
from deploy.commands.catalog import catalog
from deploy.commands.console import console
from deploy.commands.demo import demo_command
from deploy.commands.doctor import doctor_command
from deploy.commands.erase import erase
from deploy.commands.positions import positions
from deploy.commands.projects import project, token
from deploy.commands.rejected import rejected
from deploy.commands.retention import retention
from deploy.commands.services import gateway, up, worker
from deploy.commands.sql import sql_command
from deploy.commands.status import status_command
from deploy.commands.tables import tables
from deploy.commands.topics import topics
from deploy.commands.trace import trace_command
from deploy.commands.views import views
from deploy.known_settings import warn_of_unknown_variables
from deploy.logging import silence_clients
from deploy.open_files import open_standard_streams, raise_limit

_SERVICES = (up, gateway, worker, console)
_COMMANDS = (
    *(*_SERVICES, status_command, doctor_command, trace_command, sql_command, catalog, views, analyst),
    *(demo_command, topics, tables, positions, audit_command, backup, restore, rejected, retention, erase),
    *(capacity_command, project, token),
)
_EPILOG = "\b\n" + (__doc__ or "").partition("\n\n")[2]


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="sequence-events")
@click.pass_context
def main(context: click.Context) -> None:
    """Run and manage Sequence events, an event pipeline from HTTP through Kafka to ClickHouse.

    Settings are environment variables named SEQUENCE_*. They are validated at startup, and all errors are reported
    together.
    """
    open_standard_streams()
    raise_limit()
    silence_clients()  # A service's `configure` sets their levels again.
    if context.invoked_subcommand not in {service.name for service in _SERVICES}:
        warn_of_unknown_variables()


for _command in _COMMANDS:
    main.add_command(_command)

if __name__ == "__main__":
    main()
