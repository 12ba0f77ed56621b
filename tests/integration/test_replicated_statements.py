"""Every statement in its form for a cluster, as ClickHouse's own parser reads it."""

from __future__ import annotations

import pytest

from processors.clickhouse import cluster
from processors.clickhouse.client import ClickHouse
from schemas.clickhouse.quoting import literal
from schemas.clickhouse.replicated import replicated
from tests.support.services import clickhouse_settings
from tests.unit.schemas.test_replicated import OF_THE_CODE, STATEMENTS

ALL = [each for each in [*STATEMENTS, *OF_THE_CODE] if " MODIFY PARTITION BY " not in each]
"""ClickHouse has no MODIFY PARTITION BY: the migration carries it out itself."""


def parsed(clickhouse: ClickHouse, statements: list[str]) -> list[str]:
    """Return *statements* as the server formats them; raises `ClickHouseError` if it cannot parse one."""
    # A parameter of this size would be sent as a form of several parts, which the embedded server refuses.
    queries = [f"SELECT formatQuerySingleLine({literal(each)}) AS text" for each in statements]
    return [clickhouse.query(query)[0]["text"] for query in queries]


@pytest.fixture
def server(clickhouse: str) -> ClickHouse:
    return ClickHouse(clickhouse_settings(clickhouse, "default"))


def test_parser_takes_every_statement_for_a_cluster(server: ClickHouse) -> None:
    found = parsed(server, [replicated(each, "main-1") for each in ALL])

    assert len(found) == len(ALL) > 40
    assert [text for text in found if "ON CLUSTER `main-1`" not in text] == []


def test_parser_reads_the_copy_of_a_table_for_an_added_replica(server: ClickHouse) -> None:
    # A server shows a statement in the form of its parser.
    live = parsed(
        server, [replicated(each, "main-1") for each in ALL if each.startswith(("CREATE TABLE", "CREATE VIEW"))]
    )
    shown = [each.replace(" IF NOT EXISTS", "", 1).replace(" ON CLUSTER `main-1`", "", 1) for each in live]

    copies = cluster.copies([("shop", "name", each) for each in shown])

    assert parsed(server, [replicated(each, "main-1") for each in copies[1:]]) == live
