"""Properties of every JSON kind in Python: clickhouse_connect's rows, pandas' DataFrame and pyarrow's Table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from processors.clickhouse.migrate import migrate
from tests.support import services, shop
from tests.support.clickhouse_http import ClickHouseHttp

VALUES: dict[str, Any] = {
    "integer": 42,
    "beyond 2^53": 9007199254740993,
    "beyond 2^63": 18446744073709551615,
    "float": 12.5,
    "text": "abc",
    "numeric text": "30",
    "date": "2026-01-15",
    "empty text": "",
    "true": True,
    "false": False,
    "null": None,
    "array": [1, 2],
    "mixed array": [1, "a", True, 2.5],
    "array of objects": [{"sku": "a", "price": 1}, {"sku": "b"}],
    "empty array": [],
    "object": {"b": 1},
}
SHOWN = {**VALUES, "object": None}
"""An object is no value: its path has further names."""
BARE = "SELECT properties.x AS x FROM events ORDER BY _origin"
TYPED = (
    "SELECT num(properties.x) AS n, str(properties.x) AS s, bool(properties.x) AS b, at(properties.x) AS t FROM events"
)


@pytest.fixture(scope="module")
def analyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        migrate(services.clickhouse_settings(server.address))
        writer = ClickHouseHttp(server.address)
        shop.put(
            writer,
            "sequence.events",
            [
                {"project_id": "dev", "event": kind, "message_id": kind, "_origin": number, "properties": {"x": value}}
                for number, (kind, value) in enumerate(VALUES.items())
            ],
        )
        host, _, port = writer.netloc.partition(":")
        with clickhouse_connect.get_client(
            host=host, port=int(port), username="analyst", password=services.ANALYST_PASSWORD, database="sequence"
        ) as client:
            yield client


def plain(value: Any) -> Any:
    """Return *value* with Python's own numbers in place of numpy's."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value.item() if hasattr(value, "item") else value


def same(found: list[Any]) -> bool:
    """Return whether *found* are the values, each with its type: in Python `True == 1`."""
    shown = list(SHOWN.values())
    return found == shown and [type(value) for value in found] == [type(value) for value in shown]


def test_query_returns_each_value_with_its_type(analyst: Client) -> None:
    assert same([value for (value,) in analyst.query(BARE).result_rows])


def test_query_df_returns_each_value_with_its_type(analyst: Client) -> None:
    assert same([plain(value) for value in analyst.query_df(BARE)["x"]])


def test_query_arrow_returns_the_json_text_of_each_value(analyst: Client) -> None:
    table = analyst.query_arrow(BARE)

    assert str(table.schema.field("x").type) == "extension<arrow.json>"
    assert same([json.loads(text) for text in table.column("x").to_pylist()])


def test_arrow_stream_is_read_block_by_block(analyst: Client) -> None:
    with analyst.query_arrow_stream(BARE) as stream:
        tables = list(stream)

    assert sum(len(table) for table in tables) == len(VALUES)


def test_functions_give_columns_with_a_type(analyst: Client) -> None:
    table = analyst.query_arrow(f"{TYPED} ORDER BY _origin")
    assert [field.type for field in table.schema] == [
        pa.float64(), pa.string(), pa.bool_(), pa.timestamp("us", "UTC"),
    ]  # fmt: skip
    assert table.column("n").to_pylist()[:6] == [42.0, 9007199254740992.0, 18446744073709551616.0, 12.5, None, 30.0]

    frame = analyst.query_df(f"{TYPED} ORDER BY _origin")
    assert {name: str(kind).lower().partition("[")[0] for name, kind in frame.dtypes.items()} == {
        "n": "float64", "s": "string", "b": "object", "t": "datetime64",
    }  # fmt: skip
    assert frame["n"].dropna().tolist() == [42.0, 9007199254740992.0, 18446744073709551616.0, 12.5, 30.0]
    assert str(frame["t"].dropna().iloc[0]).startswith("2026-01-15 00:00:00")


def test_frame_is_grouped_and_summed_in_pandas(analyst: Client) -> None:
    frame = analyst.query_df("SELECT event, num(properties.x) AS n FROM events WHERE event IN ('integer', 'float')")

    assert frame.groupby("event")["n"].sum().to_dict() == {"float": 12.5, "integer": 42.0}


@pytest.mark.parametrize("table", ["events", "persons", "identifies"])
def test_whole_rows_are_read_in_every_way(analyst: Client, table: str) -> None:
    query = f"SELECT * FROM {table}"  # noqa: S608
    rows = len(VALUES) if table == "events" else 0

    assert len(analyst.query(query).result_rows) == rows
    assert len(analyst.query_df(query)) == rows
    assert len(analyst.query_arrow(query)) == rows


@pytest.mark.parametrize(
    ("output_format", "is_supported"),
    [
        *((name, True) for name in ("Native", "Arrow", "ArrowStream", "JSONEachRow", "JSONCompact", "CSVWithNames")),
        *((name, True) for name in ("RowBinaryWithNamesAndTypes", "TabSeparatedWithNamesAndTypes")),
        *((name, False) for name in ("Parquet", "ORC", "Avro", "MsgPack")),
    ],
)
def test_format_takes_a_property_or_a_column_with_a_type(
    analyst: Client, output_format: str, *, is_supported: bool
) -> None:
    if is_supported:
        assert analyst.raw_query(BARE, fmt=output_format)
    else:
        with pytest.raises(DatabaseError, match="Dynamic"):
            analyst.raw_query(BARE, fmt=output_format)
    typed = TYPED if output_format != "Avro" else "SELECT num(properties.x) AS n, str(properties.x) AS s FROM events"
    assert analyst.raw_query(typed, fmt=output_format)
