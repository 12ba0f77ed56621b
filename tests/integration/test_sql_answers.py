"""What `sequence sql` advises a newcomer: each statement is refused, and has the right answer as it is advised.

Totals are sent as a number and as text in turn, so that advice which reads one of the two has another answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processors.typed_views.naming import database_name
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.records import identify, track
from tests.support.refused_statements import filled, refused
from tests.support.warehouse import Warehouse

ORDERS = [
    b'{"total":10,"price":1.5,"tags":["espresso","latte"],"day":"2026-01-02","items":[{"sku":"x","price":"2"}]}',
    b'{"total":"30","price":2.5,"tags":["tea"],"day":"2026-01-03"}',
    b'{"total":"40","price":4,"tags":["espresso"],"items":[{"sku":"y","price":3}]}',
    b'{"total":60,"price":8}',
]
TEXTS = {
    "{each}": "floor(num(properties.total)/25)*25",
    "{interests}": "JSONExtract(ifNull(str(traits.interests), ''), 'Array(String)')",
    "{of_items}": "JSONExtract(ifNull(items, ''), 'Array(String)')",
    "{of_table}": "JSONExtract(ifNull(str(properties.tags), ''), 'Array(String)')",
    "{of_view}": "JSONExtract(ifNull(tags, ''), 'Array(String)')",
}
BUCKETS = "0 1|25 2|50 1"
CALCULATED = [
    (
        "SELECT floor(properties.total/25)*25 AS bucket, count() FROM {b}.events GROUP BY bucket ORDER BY bucket",
        "SELECT {each} AS bucket … GROUP BY bucket ORDER BY bucket.",
        "SELECT {each} AS bucket, count() FROM {b}.events GROUP BY bucket ORDER BY bucket",
        BUCKETS,
    ),
    (
        "SELECT floor(properties.total/25)*25, count() FROM {b}.events GROUP BY 1 ORDER BY 1",
        "SELECT {each} … GROUP BY 1 ORDER BY 1.",
        "SELECT {each}, count() FROM {b}.events GROUP BY 1 ORDER BY 1",
        BUCKETS,
    ),
    (
        "SELECT count() FROM {b}.events GROUP BY floor(properties.total/25)*25 ORDER BY floor(properties.total/25)*25",
        "GROUP BY {each} ORDER BY {each}.",
        "SELECT count() FROM {b}.events GROUP BY {each} ORDER BY {each}",
        "1|2|1",
    ),
    (
        "SELECT properties.total AS t, floor(t/25)*25 AS b FROM {b}.events ORDER BY b DESC, t LIMIT 1",
        "SELECT num(properties.total) AS t … ORDER BY b.",
        "SELECT num(properties.total) AS t, floor(t/25)*25 AS b FROM {b}.events ORDER BY b DESC, t LIMIT 1",
        "60 50",
    ),
    (
        "SELECT user_id FROM {b}.events ORDER BY properties.total * 2 LIMIT 2",
        "ORDER BY num(properties.total) * 2.",
        "SELECT user_id FROM {b}.events ORDER BY num(properties.total) * 2 LIMIT 2",
        "10105|10106",
    ),
    (
        "SELECT sum(gross) FROM (SELECT properties.total * 2 AS gross FROM {b}.events)",
        "num(properties.total) * 2 AS gross … sum(gross).",
        "SELECT sum(gross) FROM (SELECT num(properties.total) * 2 AS gross FROM {b}.events)",
        "280",
    ),
    (
        "WITH round(properties.total) AS r SELECT argMax(user_id, r) FROM {b}.events WHERE user_id < '10108'",
        "round(num(properties.total)) AS r … argMax(user_id, r).",
        "WITH round(num(properties.total)) AS r SELECT argMax(user_id, r) FROM {b}.events WHERE user_id < '10108'",
        "10107",
    ),
    (
        "SELECT properties.total * 2 AS gross FROM {b}.events WHERE gross IN (60)",
        "num(properties.total) * 2 AS gross … gross IN (…).",
        "SELECT num(properties.total) * 2 AS gross FROM {b}.events WHERE gross IN (60)",
        "60",
    ),
]
CONVERTED = [
    (
        "SELECT sum(?) FROM {b}.events".replace("?", conversion),
        "sum(num(properties.total)).",
        "SELECT sum(num(properties.total)) FROM {b}.events",
        "140",
    )
    for conversion in (
        "toFloat64OrZero(properties.total)",
        "toFloat64OrNull(properties.total)",
        "toUInt32OrZero(properties.total)",
        "toDecimal64OrNull(properties.total, 2)",
    )
] + [
    (
        "SELECT sum(toFloat64OrZero(p.price) * 2) FROM {b}.events ARRAY JOIN properties.items[] AS p",
        "sum(num(p.price) * 2).",
        "SELECT sum(num(p.price) * 2) FROM {b}.events ARRAY JOIN properties.items[] AS p",
        "10",
    ),
    (
        "SELECT max(toDateTimeOrNull(properties.day)) FROM {b}.events",
        "max(at(properties.day)).",
        "SELECT toDate(max(at(properties.day))) FROM {b}.events",
        "2026-01-03",
    ),
    (
        "SELECT toFloat64OrNull(properties.total) AS t FROM {b}.events ORDER BY t LIMIT 2",
        "SELECT num(properties.total) AS t … ORDER BY t.",
        "SELECT num(properties.total) AS t FROM {b}.events ORDER BY t LIMIT 2",
        "10|30",
    ),
    (
        "SELECT sum(toFloat64OrZero(price)) FROM order_completed",
        "price has the type Float64. Leave the conversion of text out: write price alone.",
        "SELECT sum(price) FROM order_completed",
        "16",
    ),
]
COUNTED = "espresso 2|latte 1|tea 1"
COUNTS = "SELECT tag, count() AS n FROM order_completed ARRAY JOIN {of_view} AS tag GROUP BY tag ORDER BY n DESC, tag"
OF_ORDERS = "SELECT count() FROM order_completed WHERE"
OF_EVENTS = "SELECT count() FROM {b}.events WHERE"
OF_IDENTIFIES = "SELECT count() FROM identifies WHERE"
ARRAYS = [
    (
        "SELECT interest FROM {b}.identifies ARRAY JOIN traits.interests AS interest",
        "ARRAY JOIN {interests}.",
        "SELECT interest FROM {b}.identifies ARRAY JOIN {interests} AS interest",
        "espresso|tea",
    ),
    (
        "SELECT tag, count() FROM order_completed ARRAY JOIN tags AS tag GROUP BY tag",
        "{of_view}",
        COUNTS,
        COUNTED,
    ),
    (
        "SELECT tag FROM order_completed, UNNEST(tags) AS tag",
        "{of_view} AS tag.",
        COUNTS,
        COUNTED,
    ),
    (
        "SELECT tag FROM order_completed ARRAY JOIN JSONExtractArrayRaw(tags) AS tag",
        "{of_view}",
        COUNTS,
        COUNTED,
    ),
    *(
        (
            f"{counted} has({array}, 'espresso')",
            "{of_view}" if counted == OF_ORDERS else "{of_table}",
            f"{counted} has({'{of_view}' if counted == OF_ORDERS else '{of_table}'}, 'espresso')",
            "2",
        )
        for counted, array in (
            (OF_ORDERS, "tags"),
            (OF_ORDERS, "JSONExtract(tags, 'Array(String)')"),
            (OF_EVENTS, "properties.tags"),
            (OF_EVENTS, "JSONExtract(str(properties.tags), 'Array(String)')"),
        )
    ),
    (
        "SELECT count() FROM order_completed WHERE 'espresso' = ANY(tags)",
        "has({of_view}, '…')",
        "SELECT count() FROM order_completed WHERE has({of_view}, 'espresso')",
        "2",
    ),
    (
        "SELECT countIf(arrayExists(tag -> tag LIKE 'esp%', tags)) FROM order_completed",
        "{of_view}",
        "SELECT countIf(arrayExists(tag -> tag LIKE 'esp%', {of_view})) FROM order_completed",
        "2",
    ),
    (
        "SELECT arrayStringConcat(tags, '+') FROM order_completed",
        "{of_view}",
        "SELECT max(arrayStringConcat({of_view}, '+')) FROM order_completed",
        "tea",
    ),
    (
        "SELECT p.sku FROM order_completed ARRAY JOIN {of_items} AS p",
        "JSONExtractString(p, 'sku').",
        "SELECT max(JSONExtractString(p, 'sku')) FROM order_completed ARRAY JOIN {of_items} AS p",
        "y",
    ),
    (
        "SELECT JSONExtract(first, 'a', 'Array(Int64)') FROM (SELECT any(tags) AS first FROM order_completed)",
        "JSONExtract(ifNull(first, ''), '', 'Array(Int64)')",
        "SELECT sum(length({of_view})) FROM order_completed",
        "4",
    ),
]
NUMBERS = [
    (f"{counted} {typed}", f"{written}.", f"{counted} {written}", answer)
    for counted, typed, written, answer in (
        (OF_EVENTS, "user_id = 10105", "user_id = '10105'", "1"),
        (OF_ORDERS, "order_completed.user_id != 10105", "order_completed.user_id != '10105'", "3"),
        (OF_EVENTS, "10105 = user_id", "'10105' = user_id", "1"),
        (OF_IDENTIFIES, "user_id = 9", "user_id = '9'", "1"),
        (OF_IDENTIFIES, "user_id < 10106", "num(user_id) < 10106", "2"),
    )
]
PRICES = "16 4"
HIDDEN = [
    (
        "SELECT round(sum(price), 2) AS price, avg(price) FROM order_completed",
        "Name another alias: round(sum(price), 2) AS sum_price.",
        "SELECT round(sum(price), 2) AS sum_price, avg(price) FROM order_completed",
        PRICES,
    ),
    (
        "SELECT sum(num(total)) total, max(num(total)) FROM order_completed",
        "hides the column total in the other expressions and in WHERE. Name another alias: sum(num(total)) AS",
        "SELECT sum(num(total)) sum_total, max(num(total)) FROM order_completed",
        "140 60",
    ),
    (
        "SELECT max(timestamp) AS timestamp FROM order_completed WHERE timestamp > '2026-01-01'",
        "max(timestamp) AS max_timestamp.",
        "SELECT toDate(max(timestamp)) AS max_timestamp FROM order_completed WHERE timestamp >= '2026-01-01'",
        "2026-01-01",
    ),
]


@pytest.fixture(scope="module")
def writer(clickhouse: str) -> Iterator[ClickHouseHttp]:
    warehouse = Warehouse(clickhouse)
    orders = [
        track(f"m{at}", user_id=f"{10105 + at}", event="Order Completed", properties=properties)
        for at, properties in enumerate(ORDERS)
    ]
    people = [
        identify("i1", user_id="10105", traits=b'{"interests":["espresso","tea"]}'),
        *(identify(f"i{user}", user_id=user, traits=b'{"plan":"pro"}') for user in ("9", "10106")),
    ]
    warehouse.write(*orders, *people)
    warehouse.made()
    yield ClickHouseHttp(clickhouse, settings={"database": database_name(warehouse.base, "p"), "join_use_nulls": "1"})
    warehouse.drop()


def written_out(writer: ClickHouseHttp, statement: str) -> str:
    """Return *statement* with the names in braces replaced; `{b}` is the database of the tables."""
    for name, text in TEXTS.items():
        statement = statement.replace(name, text)
    return filled(writer, statement)


@pytest.mark.parametrize(
    ("statement", "advised", "written", "answer"),
    [*CALCULATED, *CONVERTED, *ARRAYS, *NUMBERS, *HIDDEN],
    ids=lambda value: value[:60],
)
def test_advised_statement_has_the_right_answer(
    writer: ClickHouseHttp, statement: str, advised: str, written: str, answer: str
) -> None:
    assert written_out(writer, advised) in refused(writer, written_out(writer, statement))
    assert "|".join(writer.query(written_out(writer, written)).replace("\t", " ").splitlines()) == answer


def test_number_in_a_list_of_ids_is_compared_as_text(writer: ClickHouseHttp) -> None:
    """It needs no advice: ClickHouse converts the numbers of `IN`."""
    for counted in (OF_ORDERS, OF_EVENTS):
        assert writer.query(written_out(writer, f"{counted} user_id IN (10105, 10106)")) == "2"
