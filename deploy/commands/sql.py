"""`sequence sql`: one statement on ClickHouse."""

from __future__ import annotations

import os
import sys

import click

from deploy.error_messages import report_errors

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.command("sql")
@click.argument("statement", required=False)
@click.option("--write", is_flag=True, help="Run the statement as the user who may write. Local stack only.")
@click.option(
    "--format",
    "output_format",
    metavar="NAME",
    help="Format of the answer, for example JSONEachRow.  [default: PrettyCompact on a terminal, else TabSeparated]",
)
@report_errors
def sql_command(statement: str | None, output_format: str | None, *, write: bool) -> None:
    """Run STATEMENT on ClickHouse as `analyst`, who can only read.

    Without STATEMENT, or if it is `-`, the statement is read from standard input. It runs on the server that
    SEQUENCE_CLICKHOUSE_URL names if that is set, and on the local stack otherwise.
    """
    from deploy import sql
    from deploy.sql_notes import note

    target = sql.choose_target(os.environ, write=write)
    output_format = output_format or ("PrettyCompact" if sys.stdout.isatty() else "TabSeparated")
    text = sql.read_statement(statement)
    try:
        sql.run(target, text, output_format, click.get_binary_stream("stdout"))
    except BrokenPipeError:
        sql.discard_output()
        return
    # For somebody who types. A program reads what is written to standard error as a failure.
    if not write and sys.stderr.isatty() and (said := note(text.decode(errors="replace"))):
        click.echo(said, err=True)
