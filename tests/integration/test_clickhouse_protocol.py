"""ClickHouse's HTTP protocol in the embedded server: queries, rows, formats, settings, compression, errors."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import clickhouse_connect
import lz4.frame
import pytest
import zstandard

from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    "lz4": lz4.frame.decompress,
}


@pytest.fixture(scope="module")
def url(server: services.Service) -> str:
    return server.address


@pytest.fixture
def client(url: str) -> ClickHouseHttp:
    client = ClickHouseHttp(url)
    client.query("DROP TABLE IF EXISTS t, events SYNC")
    client.query("CREATE TABLE t (a UInt32, b String, CONSTRAINT small CHECK a < 100000) ENGINE = MergeTree ORDER BY a")
    return client


def rows(client: ClickHouseHttp) -> list[list[Any]]:
    return json.loads(client.query("SELECT a, b FROM t ORDER BY a, b FORMAT JSONCompact"))["data"]  # type: ignore[no-any-return]


def test_empty_request_is_answered_ok(client: ClickHouseHttp) -> None:
    assert client.send(method="GET").text == "Ok.\n"


@pytest.mark.parametrize(
    ("statement", "body"),
    [
        ("INSERT INTO t FORMAT JSONEachRow", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}'),
        ("INSERT INTO t (a, b) SETTINGS async_insert = 0 FORMAT JSONEachRow", b'{"a":1,"b":"x"}{"a":2,"b":"y"}'),
        ("INSERT INTO t VALUES", b"(1, 'x'), (2, 'y')"),
        ("insert into t format CSV", b'1,"x"\n2,"y"\n'),
        ("INSERT INTO t /* FORMAT no */ FORMAT TabSeparated", b"1\tx\n2\ty\n"),
        (
            "INSERT INTO t SELECT n, name FROM input('n UInt32, name String') WHERE n < 3 FORMAT JSONEachRow",
            b'{"n":1,"name":"x"}{"n":2,"name":"y"}{"n":3,"name":"z"}',
        ),
    ],
)
def test_insert_reads_rows_from_the_body_with_its_statement_in_url_or_body(
    client: ClickHouseHttp, statement: str, body: bytes
) -> None:
    assert client.send(body, query=statement).written_rows == 2
    assert rows(client) == [[1, "x"], [2, "y"]]
    client.query("TRUNCATE TABLE t")
    assert client.send(statement.encode() + b"\n" + body).written_rows == 2
    assert rows(client) == [[1, "x"], [2, "y"]]


def test_format_clause_in_a_string_is_part_of_the_value(client: ClickHouseHttp) -> None:
    client.query("INSERT INTO t VALUES (1, 'the FORMAT CSV is'), (2, '-- no; comment')")
    assert rows(client) == [[1, "the FORMAT CSV is"], [2, "-- no; comment"]]


@pytest.mark.parametrize(
    ("body", "code"), [(b'{"a":"x"}', 27), (b'{"a":1}{"a":200000}', 469), (b"no json", 27), (b'{"a":1', 33)]
)
def test_insert_with_an_invalid_row_fails_and_writes_nothing(client: ClickHouseHttp, body: bytes, code: int) -> None:
    reply = client.send(body, query="INSERT INTO t FORMAT JSONEachRow")
    assert (reply.status >= 400, reply.code) == (True, code)
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert rows(client) == []


@pytest.mark.parametrize("encoding", ENCODERS)
def test_compressed_body_is_read_and_a_truncated_one_is_rejected(client: ClickHouseHttp, encoding: str) -> None:
    body = b"\n".join(b'{"a":%d,"b":"%d"}' % (number, number) for number in range(2000))
    compressed = ENCODERS[encoding](body)
    headers = {"Content-Encoding": encoding}
    cut = client.send(compressed[:-9], query="INSERT INTO t FORMAT JSONEachRow", headers=headers)
    assert (cut.status, cut.code) == (400, 117)
    assert client.query("SELECT count() FROM t") == "0"
    assert client.send(compressed, query="INSERT INTO t FORMAT JSONEachRow", headers=headers).written_rows == 2000
    assert client.query("SELECT count(), uniqExact(a) FROM t") == "2000\t2000"


@pytest.mark.parametrize("encoding", DECODERS)
def test_result_is_compressed_if_the_request_enables_it(client: ClickHouseHttp, encoding: str) -> None:
    sql = "SELECT number FROM numbers(3)"
    reply = client.send(sql, enable_http_compression=1, headers={"Accept-Encoding": f"unknown, {encoding};q=0.5"})
    assert reply.headers["content-encoding"] == encoding
    assert DECODERS[encoding](reply.content) == b"0\n1\n2\n"
    assert "content-encoding" not in client.send(sql, headers={"Accept-Encoding": encoding}).headers


def test_result_format_comes_from_statement_then_request_then_default(client: ClickHouseHttp) -> None:
    assert client.query("SELECT 1 AS x") == "1"
    assert client.query("SELECT 1 AS x", default_format="JSONEachRow") == '{"x":1}'
    assert client.send("SELECT 1 AS x", headers={"X-ClickHouse-Format": "CSVWithNames"}).text == '"x"\n1\n'
    reply = client.send("SELECT 1 AS x FORMAT JSONEachRow SETTINGS max_threads = 1", default_format="CSV")
    assert reply.text == '{"x":1}\n'
    assert reply.headers["x-clickhouse-format"] == "JSONEachRow"
    assert "x-clickhouse-format" not in client.send("DROP TABLE IF EXISTS nothing").headers


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SELECT * FROM nothing", 404, 60),
        ("SELECT nothing FROM t", 404, 47),
        ("SELECT 1 SETTINGS nothing = 1", 404, 115),
        ("SELECT throwIf(1)", 500, 395),
    ],
)
def test_error_has_code_and_status(client: ClickHouseHttp, sql: str, status: int, code: int) -> None:
    reply = client.send(sql)
    assert (reply.status, reply.code) == (status, code)
    assert reply.text.startswith("Code: ")


def test_values_can_be_expressions_and_fill_a_large_body(client: ClickHouseHttp) -> None:
    client.query("INSERT INTO t (a, b) VALUES (1 + 1, upper('x')), (3, '');")
    client.query("INSERT INTO t VALUES (5, DEFAULT)")
    client.query("INSERT INTO t SELECT * FROM values('a UInt32, b String', (4, 'z'))")
    assert rows(client) == [[2, "X"], [3, ""], [4, "z"], [5, ""]]
    many = ", ".join(f"({number}, '{number}')" for number in range(60_000))
    assert client.send(many, query="INSERT INTO t VALUES").written_rows == 60_000
    assert client.send(b"(1, '\xff')", query="INSERT INTO t VALUES").code == 62


def test_get_is_read_only(client: ClickHouseHttp) -> None:
    assert client.send(method="GET", query="SELECT 1").text == "1\n"
    assert client.send(method="GET", query="TRUNCATE TABLE t").code == 164
    assert client.send(method="GET", query="INSERT INTO t VALUES (1, 'x')").code == 164
    assert rows(client) == []


def test_settings_in_the_url_apply_to_one_query(client: ClickHouseHttp) -> None:
    sql = "SELECT getSetting('max_threads') = 7, getSetting('log_comment')"
    assert client.query(sql, max_threads=7, log_comment="it's \\ fine") == "1\tit\\'s \\\\ fine"
    assert client.query(sql).startswith("0")
    assert client.send("SELECT 1", nothing=1).code == 115
    assert ClickHouseHttp(client.url, settings={"max_threads = 1, readonly": "1"}).send("SELECT 1").code == 115
    client.query("SET max_threads = 7")
    assert client.query(sql).startswith("0")


def test_query_parameters_are_never_parsed_as_sql(client: ClickHouseHttp) -> None:
    text = "x' OR 1 = 1 --\\n"
    assert client.query("SELECT {a:String} = 'x\\' OR 1 = 1 --\\n', {b:UInt8}", param_a=text, param_b="3") == "1\t3"
    assert client.send("SELECT {b:UInt8}", param_b="3; DROP TABLE t").code == 457


def test_sessions_isolate_settings_and_temporary_tables(client: ClickHouseHttp) -> None:
    client.query("CREATE TEMPORARY TABLE mine (a Int8)", session_id="one")
    client.query("INSERT INTO mine VALUES (1)", session_id="one")
    client.query("SET max_threads = 7", session_id="one")
    assert client.query("SELECT a, getSetting('max_threads') FROM mine", session_id="one", session_check=1) == "1\t7"
    assert client.send("SELECT * FROM mine", session_id="two").code == 60
    assert client.send("SELECT * FROM mine").code == 60
    assert (
        ClickHouseHttp(client.url, "analyst", services.ANALYST_PASSWORD)
        .send("SELECT * FROM mine", session_id="one")
        .code
        == 60
    )
    assert client.send("SELECT 1", session_id="three", session_check=1).code == 372


def test_session_that_would_never_end_is_rejected(client: ClickHouseHttp) -> None:
    for timeout in ("nan", "NaN", "-nan", "soon"):
        assert client.send("SELECT 1", session_id=timeout, session_timeout=timeout).code == 36
        assert client.send("SELECT 1", session_id=timeout, session_check=1).code == 372
    assert client.query("SELECT 1", session_id="long", session_timeout="1e9") == "1"


def test_limit_of_the_length_of_a_statement_is_that_of_the_client(client: ClickHouseHttp) -> None:
    assert client.send(f"SELECT '{300_000 * 'x'}'").code == 62
    assert len(client.query(f"SELECT '{300_000 * 'x'}'", max_query_size=1_000_000)) == 300_000


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic \xff"},
        {"Authorization": "", "X-ClickHouse-Key": "\xff"},
        {"Authorization": "", "X-ClickHouse-User": "\xff", "X-ClickHouse-Key": "x"},
    ],
    ids=str,
)
def test_login_that_is_no_utf8_is_rejected(client: ClickHouseHttp, headers: dict[str, str]) -> None:
    reply = client.send("SELECT 1", headers=headers)
    assert (reply.status, reply.code) == (403, 516)
    assert client.send("SELECT 1", headers={"Content-Encoding": "\xff"}).code == 48


@pytest.mark.parametrize("query_id", ["a\r\nX-Injected: 1", "a\nb", "a\0b"])
def test_query_id_with_control_characters_is_rejected(client: ClickHouseHttp, query_id: str) -> None:
    for client_or_stranger in (client, ClickHouseHttp(f"http://{client.netloc}")):
        reply = client_or_stranger.send("SELECT 1", query_id=query_id)
        assert (reply.status, reply.code) == (400, 36)
        assert "x-injected" not in reply.headers
    assert client.send("SELECT 1", query_id="Zürich 1").text == "1\n"


def test_unsupported_encoding_is_rejected_with_code_48(client: ClickHouseHttp) -> None:
    assert client.send(b"x", query="SELECT 1", headers={"Content-Encoding": "snappy"}).code == 48


@pytest.mark.parametrize("name", ["DataFrame", "ArrowTable", "nothing"])
def test_unknown_format_is_rejected(client: ClickHouseHttp, name: str) -> None:
    assert client.send("SELECT 1", default_format=name).code == 73


@pytest.mark.usefixtures("client")
def test_clickhouse_connect_works(url: str) -> None:
    _, _, port = url.rpartition(":")
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=int(port), password=services.WRITER_PASSWORD, database="sequence"
    ) as client:
        assert client.insert("t", [[1, "it's"], [2, "y\n"]], column_names=["a", "b"]).written_rows == 2
        client.raw_insert("t", ["a", "b"], b'3,"z"\n', fmt="CSV")
        assert client.query("SELECT a, b FROM t ORDER BY a").result_rows == [(1, "it's"), (2, "y\n"), (3, "z")]
        found = client.query(
            "SELECT b FROM t WHERE b = {b:String}", parameters={"b": "it's"}, settings={"max_threads": 1}
        )
        assert found.result_rows == [("it's",)]
        with client.query_row_block_stream("SELECT number FROM numbers(200000)") as stream:
            assert sum(len(block) for block in stream) == 200_000
        assert client.command("SELECT count() FROM t") == 3
        client.command("TRUNCATE TABLE t")
        assert client.query("SELECT * FROM t").result_rows == []
        with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError) as error:
            client.query("SELECT * FROM nothing")
        assert error.value.code == 60


def test_clickhouse_connect_works_for_an_analyst_with_settings(client: ClickHouseHttp) -> None:
    client.query("INSERT INTO t VALUES (1, 'x')")
    client.query("RENAME TABLE t TO events")
    host, _, port = client.netloc.partition(":")
    with clickhouse_connect.get_client(
        host=host,
        port=int(port),
        username="analyst",
        password=services.ANALYST_PASSWORD,
        settings={"max_execution_time": 60, "join_use_nulls": 1},
    ) as analyst:
        shown = "SELECT getSetting('max_execution_time'), getSetting('join_use_nulls'), getSetting('max_threads')"
        assert analyst.query(shown, settings={"max_threads": 2}).result_rows == [(60, True, 2)]
        assert analyst.query("SELECT a, b FROM sequence.events").result_rows == [(1, "x")]
        analyst.command("SET max_threads = 3")
        assert analyst.query(shown).result_rows == [(60, True, 3)]
        assert analyst.query("SELECT a FROM sequence.events SETTINGS max_threads = 1").result_rows == [(1,)]
        with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError) as error:
            analyst.command("TRUNCATE TABLE sequence.events")
        assert error.value.code == 164


def test_json_format_contains_columns_and_rows_for_grafana(client: ClickHouseHttp) -> None:
    client.query("INSERT INTO t VALUES (1, 'x')")
    client.query("RENAME TABLE t TO events")
    headers = {
        "X-ClickHouse-User": "analyst",
        "X-ClickHouse-Key": services.ANALYST_PASSWORD,
        "X-ClickHouse-Database": "sequence",
    }
    client = ClickHouseHttp(f"http://{client.netloc}")
    reply = client.send("SELECT a AS value, b AS name FROM events FORMAT JSON", headers=headers, max_execution_time=30)
    answer = json.loads(reply.text)
    assert [column["name"] for column in answer["meta"]] == ["value", "name"]
    assert (answer["data"], answer["rows"]) == ([{"value": 1, "name": "x"}], 1)
    assert reply.headers["content-type"].startswith("application/json")
