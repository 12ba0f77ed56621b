"""Statements as the engine formats them.

Formatting a statement takes longer than many a query does, so the results for short texts are kept. They depend on
nothing but the text, except that a client may have a larger limit of its length.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

from chdb.state.sqlitelike import Connection

from deploy.embedded.clickhouse import opening
from deploy.embedded.clickhouse.errors import QueryError, from_engine
from deploy.embedded.clickhouse.statements import output_format, returns_result
from deploy.embedded.clickhouse.users import WRITER

_REMEMBERED_TEXTS = 512
_REMEMBERED_CHARACTERS = 16_384
_SCOPE = re.compile(r": In scope SELECT formatQuery.*(?= \([A-Z_]+\)$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One valid statement."""

    normalized: str
    """Its text as the engine formats it, in one line."""
    format: str | None
    """The format that it names for its result."""
    returns_result: bool
    """Whether it has a result, which may have no rows."""


def read_statement(connection: Connection, sql: str) -> Statement:
    """Return the statement *sql*, a long one by *connection*; raises `QueryError` unless it is one valid statement."""
    return _remembered(sql) if len(sql) <= _REMEMBERED_CHARACTERS else _formatted(connection, sql)


@lru_cache(_REMEMBERED_TEXTS)
def _remembered(sql: str) -> Statement:
    with closing(opening.connect()) as connection:
        return _formatted(connection, sql)


def _formatted(connection: Connection, sql: str) -> Statement:
    if "\0" in sql:
        raise QueryError(62, "Syntax error: a query cannot contain a NUL character")
    escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    try:
        formatted = connection.query(
            # The client may have settings that add rows to a result, or drop some.
            "SELECT formatQuerySingleLine({query:String}) SETTINGS extremes = 0, limit = 0, offset = 0",
            "TSVRaw",
            params={"query": escaped},
        )
    except Exception as error:
        fault = from_engine(error, WRITER)
        raise QueryError(fault.code, _SCOPE.sub("", str(fault))) from error
    normalized: str = formatted.bytes().decode().removesuffix("\n")
    return Statement(normalized, output_format(normalized), returns_result(normalized))
