"""Names with dots: a reader of the embedded server gets them as they were sent, without setting anything."""

from __future__ import annotations

import json
from collections.abc import Iterator

import clickhouse_connect
import pytest

from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        yield ClickHouseHttp(service.address)


@pytest.mark.parametrize("user", ["default", "analyst"])
def test_clickhouse_connect_returns_names_with_dots_as_they_were_sent(client: ClickHouseHttp, user: str) -> None:
    said = {"a": {"b": 1}, "a.b": 2, "list": [{"c.d": 3}]}
    client.query("DROP TABLE IF EXISTS events SYNC")
    client.query("CREATE TABLE events (p JSON(max_dynamic_paths=8)) ENGINE = MergeTree ORDER BY tuple()")
    client.send(json.dumps({"p": said}).encode(), query="INSERT INTO events FORMAT JSONEachRow")
    host, _, port = client.netloc.partition(":")
    password = services.ANALYST_PASSWORD if user == "analyst" else services.WRITER_PASSWORD
    with clickhouse_connect.get_client(host=host, port=int(port), username=user, password=password) as reader:
        read = "SELECT p, p.a.b, p.`a%2Eb`, toString(p) FROM sequence.events"
        [(shown, nested, dotted, text)] = reader.query(read).result_rows
        assert (shown, nested, dotted, json.loads(text)) == (said, 1, 2, said)
        # The control: without the setting, text has the path in place of the name.
        read = "SELECT toString(p) FROM sequence.events"
        [(text,)] = reader.query(read, settings={"json_type_escape_dots_in_keys": 0}).result_rows
        assert json.loads(text) == {"a": {"b": 1}, "a%2Eb": 2, "list": [{"c%2Ed": 3}]}
