"""Statements that ClickHouse refuses, and what `sequence sql` prints after its message."""

from __future__ import annotations

from deploy.sql_advice import advice
from deploy.sql_columns import without_far_names
from tests.support.clickhouse_http import ClickHouseHttp


def filled(writer: ClickHouseHttp, statement: str) -> str:
    """Return *statement* with the database of the tables in place of `{b}`."""
    return statement.replace("{b}", writer.settings["database"].removesuffix("_p"))


def refused(writer: ClickHouseHttp, statement: str) -> str:
    """Return the advice about *statement*, which ClickHouse refuses."""
    reply = writer.send(filled(writer, statement))
    assert reply.code is not None, statement
    return advice(without_far_names(reply.text), filled(writer, statement))
