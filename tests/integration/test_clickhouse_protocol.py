"""The front speaks ClickHouse's HTTP protocol: queries, rows, formats, settings, compression, errors."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli
import clickhouse_connect
import lz4.frame
import pytest
import zstandard

from tests.support import services
from tests.support.clickhouse_http import Front

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
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("front"))) as service:
        yield service.address


@pytest.fixture
def front(url: str) -> Front:
    front = Front(url)
    front.ask("DROP TABLE IF EXISTS t SYNC")
    front.ask("CREATE TABLE t (a UInt32, b String, CONSTRAINT small CHECK a < 100000) ENGINE = MergeTree ORDER BY a")
    return front


def rows(front: Front) -> list[list[Any]]:
    return json.loads(front.ask("SELECT a, b FROM t ORDER BY a, b FORMAT JSONCompact"))["data"]  # type: ignore[no-any-return]


def test_an_empty_request_and_a_ping_are_answered_ok(front: Front) -> None:
    assert front.send(method="GET").text == "Ok.\n"


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
def test_an_insert_takes_its_rows_from_the_body_wherever_its_statement_stands(
    front: Front, statement: str, body: bytes
) -> None:
    assert front.send(body, query=statement).written_rows == 2
    assert rows(front) == [[1, "x"], [2, "y"]]
    front.ask("TRUNCATE TABLE t")
    assert front.send(statement.encode() + b"\n" + body).written_rows == 2
    assert rows(front) == [[1, "x"], [2, "y"]]


def test_a_value_that_reads_like_a_format_is_a_value(front: Front) -> None:
    front.ask("INSERT INTO t VALUES (1, 'the FORMAT CSV is'), (2, '-- no; comment')")
    assert rows(front) == [[1, "the FORMAT CSV is"], [2, "-- no; comment"]]


@pytest.mark.parametrize(
    ("body", "code"), [(b'{"a":"x"}', 27), (b'{"a":1}{"a":200000}', 469), (b"no json", 27), (b'{"a":1', 33)]
)
def test_rows_that_the_engine_refuses_are_an_error_and_none_of_them_is_written(
    front: Front, body: bytes, code: int
) -> None:
    reply = front.send(body, query="INSERT INTO t FORMAT JSONEachRow")
    assert (reply.status >= 400, reply.code) == (True, code)
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert rows(front) == []


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_compressed_body_is_taken_and_a_cut_one_is_refused_whole(front: Front, encoding: str) -> None:
    body = b"\n".join(b'{"a":%d,"b":"%d"}' % (number, number) for number in range(2000))
    compressed = ENCODERS[encoding](body)
    headers = {"Content-Encoding": encoding}
    cut = front.send(compressed[:-9], query="INSERT INTO t FORMAT JSONEachRow", headers=headers)
    assert (cut.status, cut.code) == (400, 117)
    assert front.ask("SELECT count() FROM t") == "0"
    assert front.send(compressed, query="INSERT INTO t FORMAT JSONEachRow", headers=headers).written_rows == 2000
    assert front.ask("SELECT count(), uniqExact(a) FROM t") == "2000\t2000"


@pytest.mark.parametrize("encoding", DECODERS)
def test_an_answer_is_compressed_where_both_sides_agree(front: Front, encoding: str) -> None:
    sql = "SELECT number FROM numbers(3)"
    reply = front.send(sql, enable_http_compression=1, headers={"Accept-Encoding": f"unknown, {encoding};q=0.5"})
    assert reply.headers["content-encoding"] == encoding
    assert DECODERS[encoding](reply.content) == b"0\n1\n2\n"
    assert "content-encoding" not in front.send(sql, headers={"Accept-Encoding": encoding}).headers


def test_the_format_of_an_answer_is_the_statements_or_the_requests_or_tab_separated(front: Front) -> None:
    assert front.ask("SELECT 1 AS x") == "1"
    assert front.ask("SELECT 1 AS x", default_format="JSONEachRow") == '{"x":1}'
    assert front.send("SELECT 1 AS x", headers={"X-ClickHouse-Format": "CSVWithNames"}).text == '"x"\n1\n'
    reply = front.send("SELECT 1 AS x FORMAT JSONEachRow SETTINGS max_threads = 1", default_format="CSV")
    assert reply.text == '{"x":1}\n'
    assert reply.headers["x-clickhouse-format"] == "JSONEachRow"
    assert "x-clickhouse-format" not in front.send("DROP TABLE IF EXISTS nothing").headers


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
def test_an_error_has_its_number_and_status(front: Front, sql: str, status: int, code: int) -> None:
    reply = front.send(sql)
    assert (reply.status, reply.code) == (status, code)
    assert reply.text.startswith("Code: ")


def test_values_may_be_expressions_and_as_many_as_the_body_holds(front: Front) -> None:
    front.ask("INSERT INTO t (a, b) VALUES (1 + 1, upper('x')), (3, '');")
    front.ask("INSERT INTO t VALUES (5, DEFAULT)")
    front.ask("INSERT INTO t SELECT * FROM values('a UInt32, b String', (4, 'z'))")
    assert rows(front) == [[2, "X"], [3, ""], [4, "z"], [5, ""]]
    many = ", ".join(f"({number}, '{number}')" for number in range(60_000))
    assert front.send(many, query="INSERT INTO t VALUES").written_rows == 60_000
    assert front.send(b"(1, '\xff')", query="INSERT INTO t VALUES").code == 62


def test_get_cannot_write(front: Front) -> None:
    assert front.send(method="GET", query="SELECT 1").text == "1\n"
    assert front.send(method="GET", query="TRUNCATE TABLE t").code == 164
    assert front.send(method="GET", query="INSERT INTO t VALUES (1, 'x')").code == 164
    assert rows(front) == []


def test_settings_in_the_url_hold_for_that_query_alone(front: Front) -> None:
    sql = "SELECT getSetting('max_threads') = 7, getSetting('log_comment')"
    assert front.ask(sql, max_threads=7, log_comment="it's \\ fine") == "1\tit\\'s \\\\ fine"
    assert front.ask(sql).startswith("0")
    assert front.send("SELECT 1", nothing=1).code == 115
    assert Front(front.url, settings={"max_threads = 1, readonly": "1"}).send("SELECT 1").code == 115
    front.ask("SET max_threads = 7")
    assert front.ask(sql).startswith("0")


def test_parameters_are_values_and_never_sql(front: Front) -> None:
    text = "x' OR 1 = 1 --\\n"
    assert front.ask("SELECT {a:String} = 'x\\' OR 1 = 1 --\\n', {b:UInt8}", param_a=text, param_b="3") == "1\t3"
    assert front.send("SELECT {b:UInt8}", param_b="3; DROP TABLE t").code == 457


def test_a_session_keeps_its_settings_and_temporary_tables_to_itself(front: Front) -> None:
    front.ask("CREATE TEMPORARY TABLE mine (a Int8)", session_id="one")
    front.ask("INSERT INTO mine VALUES (1)", session_id="one")
    front.ask("SET max_threads = 7", session_id="one")
    assert front.ask("SELECT a, getSetting('max_threads') FROM mine", session_id="one", session_check=1) == "1\t7"
    assert front.send("SELECT * FROM mine", session_id="two").code == 60
    assert front.send("SELECT * FROM mine").code == 60
    assert front.send("SELECT * FROM mine", session_id="one", user="analyst").code == 60
    assert front.send("SELECT 1", session_id="three", session_check=1).code == 372


def test_what_is_not_supported_says_so(front: Front) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert front.send(b"--x--", query="SELECT 1", headers=headers).code == 48
    assert front.send("SELECT 1", compress=1).code == 48
    assert front.send(b"x", query="SELECT 1", headers={"Content-Encoding": "snappy"}).code == 48


def test_clickhouse_connect_works_unchanged(front: Front) -> None:
    _, _, port = front.url.rpartition(":")
    with clickhouse_connect.get_client(host="127.0.0.1", port=int(port), database="sequence") as client:
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


def test_grafana_finds_columns_rows_and_statistics_in_json(front: Front) -> None:
    front.ask("INSERT INTO t VALUES (1, 'x')")
    headers = {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": "", "X-ClickHouse-Database": "sequence"}
    reply = front.send("SELECT a AS value, b AS name FROM t FORMAT JSON", headers=headers, max_execution_time=30)
    answer = json.loads(reply.text)
    assert [column["name"] for column in answer["meta"]] == ["value", "name"]
    assert (answer["data"], answer["rows"]) == ([{"value": 1, "name": "x"}], 1)
    assert reply.headers["content-type"].startswith("application/json")
