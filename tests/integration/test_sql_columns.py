"""What `sequence sql` says about a column that there is not: where columns are listed, and no name that is not near."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.sql_columns import without_far_names
from processors.typed_views.naming import database_name
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.records import track
from tests.support.refused_statements import filled, refused
from tests.support.warehouse import Warehouse

COLUMNS = [
    ("SELECT sku FROM order_completed", "DESCRIBE order_completed lists the columns with their meaning."),
    ("SELECT o.sku FROM order_completed AS o", "DESCRIBE order_completed lists "),
    ("SELECT sum(revenue) FROM order_completed", "DESCRIBE order_completed lists "),
    (
        "SELECT sku FROM order_completed AS o JOIN users ON id = user_id",
        "DESCRIBE order_completed and DESCRIBE users list ",
    ),
    ("SELECT sku FROM order_completed, users", "DESCRIBE order_completed and DESCRIBE users list "),
    ("SELECT sku FROM {b}_p.order_completed", "DESCRIBE {b}_p.order_completed lists "),
    ("SELECT revenue FROM {b}.events", "properties.revenue."),
    ("SELECT t.revenue FROM tracks AS t", "t.properties.revenue."),
]
WITHOUT_ADVICE = [
    "SELECT pricee FROM order_completed",
    "SELECT sku FROM (SELECT price FROM order_completed)",
    "WITH cheap AS (SELECT price FROM order_completed) SELECT sku FROM cheap",
    "SELECT sum(sum(price)) FROM order_completed",
    "SELECT user_id FROM order_completed WHERE count() > 1 GROUP BY user_id",
    "SELECT user_id, sum(price) AS price FROM order_completed WHERE count() > 1 GROUP BY user_id",
]


@pytest.fixture(scope="module")
def writer(clickhouse: str) -> Iterator[ClickHouseHttp]:
    warehouse = Warehouse(clickhouse)
    warehouse.write(
        track("m", event="Order Completed", properties=b'{"price":2,"utm.source":"mail","utm":{"source":1}}')
    )
    warehouse.made()
    yield ClickHouseHttp(clickhouse, settings={"database": database_name(warehouse.base, "p")})
    warehouse.drop()


@pytest.mark.parametrize(("statement", "advised"), COLUMNS)
def test_unknown_column_is_answered_with_where_columns_are_listed(
    writer: ClickHouseHttp, statement: str, advised: str
) -> None:
    assert filled(writer, advised) in refused(writer, statement)


def test_described_view_has_columns_with_comments(writer: ClickHouseHttp) -> None:
    assert "order_completed" in refused(writer, "SELECT sku FROM order_completed")
    assert all(row["comment"] for row in writer.rows("DESCRIBE order_completed"))


@pytest.mark.parametrize("statement", WITHOUT_ADVICE)
def test_other_error_has_no_advice(writer: ClickHouseHttp, statement: str) -> None:
    assert refused(writer, statement) == ""


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        ("SELECT revenue FROM order_completed", "['event']"),
        ("SELECT o.revenue FROM order_completed AS o", "['o.event']"),
    ],
)
def test_name_that_is_not_near_is_left_out_of_the_message(writer: ClickHouseHttp, statement: str, hint: str) -> None:
    error = writer.send(statement).text

    assert without_far_names(error) == error.replace(f" Maybe you meant: {hint}.", "")
    assert hint in error


@pytest.mark.parametrize("statement", ["SELECT pricee FROM order_completed", "SELECT foo(1)", "SELECT cuont()"])
def test_message_with_a_near_name_stays_as_it_is(writer: ClickHouseHttp, statement: str) -> None:
    error = writer.send(statement).text

    assert without_far_names(error) == error


@pytest.mark.parametrize("view", ["order_completed", "tracks"])
def test_name_in_brackets_is_that_of_the_property_in_views(writer: ClickHouseHttp, view: str) -> None:
    brackets = "str(properties['utm.source']), num(properties['utm']['source']), num(properties['price'])"

    assert writer.query(f"SELECT {brackets} FROM {view} WHERE properties['utm.source'] = 'mail'") == "mail\t1\t2"  # noqa: S608
