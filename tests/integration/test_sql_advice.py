"""What `sequence sql` advises after an error: each answer is one of the engine's own, in the names of the statement."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processors.typed_views.naming import database_name
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.records import identify, track
from tests.support.refused_statements import filled, refused
from tests.support.warehouse import Warehouse

PROPERTIES = (
    '{"price":%d.5,"plan":"%s","code":"a%d","items":[{"sku":"x","price":2.5,"quantity":2}],"first":true,"day":"2026-01-02","mixed":%s,'
    '"address":{"city":"Bern"}}'
)
ON_TABLES = [
    ("SELECT sum(e.properties.price) FROM {b}.events AS e", "sum(num(e.properties.price))"),
    ("SELECT user_id, Max( properties.`Total Price` ) FROM {b}.events GROUP BY user_id", "Max(num(properties.`Total P"),
    ("SELECT quantile(0.5)(properties.price) FROM {b}.events", "quantile(0.5)(num(properties.price))"),
    ("SELECT sumIf(properties.price, event = 'x') FROM {b}.events", "sumIf(num(properties.price))"),
    ("SELECT uniq(event), sum(DISTINCT properties.code) FROM {b}.events", "sum(num(properties.code))"),
    ("SELECT sum(p) FROM (SELECT properties.price AS p FROM {b}.events)", "sum(num(p))"),
    ("SELECT argMax(user_id, properties.price) FROM {b}.events", "argMax(user_id, num(properties.price))"),
    ("SELECT user_id FROM {b}.events ORDER BY timestamp, properties.plan DESC", "ORDER BY str(properties.plan)"),
    ("SELECT properties.plan AS p FROM {b}.events ORDER BY p LIMIT 9", "ORDER BY str(p)"),
    (
        "SELECT properties.plan, count() FROM {b}.events GROUP BY properties.plan ORDER BY properties.plan",
        "SELECT str(properties.plan) … GROUP BY str(properties.plan) ORDER BY str(properties.plan)",
    ),
    ("SELECT 1 FROM {b}.events WHERE properties.code NOT IN ('a')", "str(properties.code) NOT IN ("),
    ("SELECT 1 FROM {b}.events WHERE event = 'a' AND properties.first", "AND bool(properties.first)"),
    ("SELECT 1 FROM {b}.events WHERE properties.mixed = 'x'", "Compare str(properties.mixed) = "),
    ("SELECT toFloat64(properties.code) FROM {b}.events", "num(properties.code)"),
    ("SELECT nullIf(properties.code, 'a') FROM {b}.events", "nullIf(str(properties.code), '')"),
    (
        "SELECT 1 FROM {b}.events AS e JOIN {b}.persons AS p ON e.properties.plan = p.traits.plan",
        "ON str(e.properties.plan) = str(p.traits.plan)",
    ),
    ("SELECT price FROM {b}.events", "properties.price"),
    ("SELECT plan FROM {b}.persons", "traits.plan"),
]
ON_VIEWS = [
    ("SELECT avg(mixed) FROM order_completed", "avg(num(mixed))"),
    ("SELECT sum(o.plan) FROM order_completed AS o", "sum(num(o.plan))"),
    ("SELECT count() FROM order_completed WHERE mixed > 2", "Compare num(mixed) > "),
    ("SELECT count() FROM order_completed WHERE plan = 10", "Compare num(plan) = "),
    ("SELECT count() FROM order_completed WHERE day > today()", "Compare at(day) > "),
    ("SELECT count() FROM order_completed WHERE price = 'a'", "Compare str(price) = "),
    ("SELECT mixed * 2 FROM order_completed", "num(mixed)"),
    ("SELECT round(mixed) FROM order_completed", "round(num(mixed))"),
    ("SELECT toStartOfMonth(day) FROM order_completed", "toStartOfMonth(at(day))"),
    ("SELECT dateDiff('day', timestamp, day) FROM order_completed", "at("),
    ("SELECT sum(properties.price) FROM order_completed", "sum(num(properties.price))"),
    ("SELECT arrayJoin(items) FROM order_completed", "JSONExtract(ifNull(items, ''), 'Array(String)')"),
    ("SELECT items[1] FROM order_completed", "JSONExtract(ifNull(items, ''), 'Array(String)')"),
    ("SELECT count() FROM order_completed WHERE plan", "WHERE bool(plan)"),
    ("SELECT 1 FROM order_completed AS o JOIN users AS u ON o.price = u.plan", "ON str(o.price) = str(u.plan)"),
    ("SELECT address.city FROM order_completed", "address_city"),
    (
        "SELECT count() FROM order_completed JOIN order_refunded USING plan",
        "plan has two types. In place of USING, write ON str(order_completed.plan) = str(order_refunded.plan).",
    ),
    (
        "SELECT 1 FROM (SELECT id, plan FROM order_completed WHERE (1)) a JOIN order_refunded USING (id, plan)",
        "ON a.id = order_refunded.id AND str(a.plan) = str(order_refunded.plan)",
    ),
]
ORDERS = "FROM order_completed AS a JOIN order_completed AS b ON a.user_id = b.user_id AND "
ON_PLAN = "a.user_id = `b`.user_id AND str(a.plan) = str(`b`.plan)"
WRITTEN = [
    (
        "SELECT rank() OVER (ORDER BY timestamp) AS n, properties.plan AS s FROM {b}.events ORDER BY s LIMIT 1, 2",
        "ORDER BY str(s)",
        "SELECT rank() OVER (ORDER BY timestamp) AS n, properties.plan AS s FROM {b}.events ORDER BY str(s) LIMIT 1, 2",
    ),
    (
        "SELECT rank() OVER (ORDER BY properties.plan) FROM {b}.events ORDER BY user_id",
        "ORDER BY str(properties.plan)",
        "SELECT rank() OVER (ORDER BY str(properties.plan)) FROM {b}.events ORDER BY user_id",
    ),
    (
        "SELECT coalesce(properties.plan, 'x') AS src, count() FROM {b}.events GROUP BY src ORDER BY src",
        "ORDER BY str(src)",
        "SELECT coalesce(properties.plan, 'x') AS src, count() FROM {b}.events GROUP BY src ORDER BY str(src)",
    ),
    (
        "SELECT properties.plan AS s, count() AS n FROM {b}.events GROUP BY s ORDER BY n DESC, s",
        "SELECT str(properties.plan) AS s … GROUP BY s ORDER BY s",
        "SELECT str(properties.plan) AS s, count() AS n FROM {b}.events GROUP BY s ORDER BY n DESC, s",
    ),
    (
        "SELECT e.traits.plan FROM {b}.persons AS e GROUP BY e.traits.plan ORDER BY e.traits.plan",
        "SELECT str(e.traits.plan) … GROUP BY str(e.traits.plan) ORDER BY str(e.traits.plan)",
        "SELECT str(e.traits.plan) FROM {b}.persons AS e GROUP BY str(e.traits.plan) ORDER BY str(e.traits.plan)",
    ),
    (
        "SELECT properties.plan, count() FROM {b}.events GROUP BY 1 ORDER BY 1",
        "SELECT str(properties.plan) … ORDER BY 1",
        "SELECT str(properties.plan), count() FROM {b}.events GROUP BY 1 ORDER BY 1",
    ),
    (
        "SELECT sum(p.price*p.quantity) FROM {b}.events ARRAY JOIN properties.items[] AS p",
        "sum(num(p.price)*num(p.quantity))",
        "SELECT sum(num(p.price)*num(p.quantity)) FROM {b}.events ARRAY JOIN properties.items[] AS p",
    ),
    (
        "SELECT sum(coalesce(properties.price, 0)) FROM {b}.events",
        "sum(coalesce(num(properties.price), 0))",
        "SELECT sum(coalesce(num(properties.price), 0)) FROM {b}.events",
    ),
    (
        "SELECT 1 FROM {b}.events WHERE properties.code IN (SELECT properties.plan FROM {b}.events)",
        "str(properties.code) IN (SELECT str(properties.plan) …)",
        "SELECT 1 FROM {b}.events WHERE str(properties.code) IN (SELECT str(properties.plan) FROM {b}.events)",
    ),
    (
        f"SELECT 1 {ORDERS}b.price = a.plan",
        "ON str(b.price) = str(a.plan)",
        f"SELECT 1 {ORDERS}str(b.price) = str(a.plan)",
    ),
    (
        "SELECT 1 FROM {b}.events JOIN {b}.persons b ON event = b.user_id AND properties.plan = traits.plan",
        "ON str(properties.plan) = str(traits.plan)",
        "SELECT 1 FROM {b}.events JOIN {b}.persons b ON event = b.user_id AND str(properties.plan) = str(traits.plan)",
    ),
    (
        "SELECT 1 FROM order_completed AS a LEFT JOIN order_refunded AS `b` USING (user_id, plan)",
        f"ON {ON_PLAN}.",
        f"SELECT 1 FROM order_completed AS a LEFT JOIN order_refunded AS `b` ON {ON_PLAN}",  # noqa: S608
    ),
    (
        "SELECT 1 FROM order_completed c JOIN (SELECT price FROM order_refunded) AS r USING (price)",
        "ON num(c.price) = num(r.price)",
        "SELECT 1 FROM order_completed c JOIN (SELECT price FROM order_refunded) AS r ON num(c.price) = num(r.price)",
    ),
    (
        "SELECT 1 FROM (SELECT at(day) AS d FROM order_completed) AS a JOIN (SELECT 1 AS d) AS b USING d",
        "ON at(a.d) = at(b.d)",
        "SELECT 1 FROM (SELECT at(day) AS d FROM order_completed) AS a JOIN (SELECT 1 AS d) AS b ON at(a.d) = at(b.d)",
    ),
    (
        "SELECT count() FROM order_completed AS a, order_refunded AS b WHERE a.plan = b.plan",
        "str(a.plan) = str(b.plan)",
        "SELECT count() FROM order_completed AS a, order_refunded AS b WHERE str(a.plan) = str(b.plan)",
    ),
    (
        "SELECT p.sku FROM tracks ARRAY JOIN JSONExtractArrayRaw(context) AS p",
        "JSONExtractString(p, 'sku')",
        "SELECT JSONExtractString(p, 'sku') FROM tracks ARRAY JOIN JSONExtractArrayRaw(context) AS p",
    ),
    (
        "SELECT p FROM order_completed ARRAY JOIN JSONExtractArrayRaw(items) AS p",
        "JSONExtract(ifNull(items, ''), 'Array(String)')",
        "SELECT p FROM order_completed ARRAY JOIN JSONExtract(ifNull(items, ''), 'Array(String)') AS p",
    ),
    (
        "SELECT p.sku FROM {b}.events ARRAY JOIN properties.items AS p",
        "ARRAY JOIN properties.items[],",
        "SELECT p.sku FROM {b}.events ARRAY JOIN properties.items[] AS p",
    ),
    ("SELECT u.user_id FROM users AS u", "u.id", "SELECT u.id FROM users AS u"),
    ("SELECT user_id FROM users", "column id: id.", "SELECT id FROM users"),
    (
        "SELECT 1 FROM order_completed JOIN users AS u USING (user_id)",
        "JOIN users ON user_id = u.id",
        "SELECT 1 FROM order_completed JOIN users AS u ON user_id = u.id",
    ),
    ("SELECT sum(price) FROM tracks", "properties.price", "SELECT sum(num(properties.price)) FROM tracks"),
    ("SELECT t.price FROM tracks AS t", "t.properties.price", "SELECT t.properties.price FROM tracks AS t"),
    (
        "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY price) FROM order_completed",
        "quantile(0.95)(price)",
        "SELECT quantile(0.95)(price) FROM order_completed",
    ),
    (
        "SELECT p FROM order_completed, UNNEST(items) AS p",
        "ARRAY JOIN JSONExtract(ifNull(items, ''), 'Array(String)') AS p",
        "SELECT p FROM order_completed ARRAY JOIN JSONExtract(ifNull(items, ''), 'Array(String)') AS p",
    ),
]
"""Statements that are refused, what is advised, and the statements with it, which have an answer."""
WITHOUT_ADVICE = [
    "SELECT p.currency FROM order_completed ARRAY JOIN [1] AS p",
    "SELECT plann FROM order_completed",
    "SELECT * FROM no_such_view",
    "SELEC 1",
    "SELECT throwIf(1)",
    "SELECT toDate('x') FROM order_completed",
]


@pytest.fixture(scope="module")
def writer(clickhouse: str) -> Iterator[ClickHouseHttp]:
    warehouse = Warehouse(clickhouse)
    values = [(at, "pro" if at % 2 else "free", at, '"x"' if at % 2 else "3") for at in range(6)]
    orders = [
        track(f"m{at}", event="Order Completed", properties=(PROPERTIES % of_order).encode())
        for at, of_order in enumerate(values)
    ]
    refund = track("r1", event="Order Refunded", properties=b'{"plan":1,"price":2}')
    warehouse.write(*orders, refund, identify("i1", traits=b'{"plan":"pro"}'))
    warehouse.made()
    yield ClickHouseHttp(clickhouse, settings={"database": database_name(warehouse.base, "p"), "join_use_nulls": "1"})
    warehouse.drop()


@pytest.mark.parametrize(("statement", "advised"), [*ON_TABLES, *ON_VIEWS])
def test_advice_has_the_names_of_the_statement(writer: ClickHouseHttp, statement: str, advised: str) -> None:
    assert advised in refused(writer, statement)


@pytest.mark.parametrize(("statement", "advised", "written"), WRITTEN, ids=[statement for statement, *_ in WRITTEN])
def test_statement_with_the_advice_has_an_answer(
    writer: ClickHouseHttp, statement: str, advised: str, written: str
) -> None:
    assert advised in refused(writer, statement)
    assert writer.send(filled(writer, written)).code is None


@pytest.mark.parametrize("statement", WITHOUT_ADVICE)
def test_error_that_is_not_about_a_type_has_no_advice(writer: ClickHouseHttp, statement: str) -> None:
    assert refused(writer, statement) == ""
