"""Access control of the embedded ClickHouse server: analysts only read tables, requests of web pages are rejected."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp

SECRET = "do-not-tell"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    (directory / "secret.txt").write_text(SECRET)
    (directory / "secret.json").write_text(f'{{"a":"{SECRET}"}}')
    return directory


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        client = ClickHouseHttp(service.address)
        client.query("CREATE TABLE t (a UInt32, properties JSON) ENGINE = MergeTree ORDER BY a")
        client.send(b'{"a":1,"properties":{"x/y":2,"file":3}}', query="INSERT INTO t FORMAT JSONEachRow")
        yield service.address


@pytest.fixture
def analyst(url: str) -> ClickHouseHttp:
    return ClickHouseHttp(url, user="analyst")


FILE_READS = [
    "SELECT * FROM file('{d}/secret.json')",
    "SELECT file('{d}/secret.txt')",
    "SELECT `file`('{d}/secret.txt')",
    "SELECT \"file\" ('{d}/secret.txt')",
    "SELECT `fi\\x6ce`('{d}/secret.txt')",
    "SELECT FILE /* ( */ ('{d}/secret.txt')",
    "SELECT file -- (\n('{d}/secret.txt')",
    "SELECT file #!x\n('{d}/secret.txt')",
    "SELECT file # x\n('{d}/secret.txt')",
    "SELECT file\u200b('{d}/secret.txt')",
    "SELECT 1 AS a$b$, file('{d}/secret.txt') AS c$b$",
    "SELECT $a$ $a$, file('{d}/secret.txt')",
    "WITH (SELECT file('{d}/secret.txt')) AS x SELECT x",
    "SELECT (SELECT a FROM file('{d}/secret.json'))",
    "DESCRIBE TABLE file('{d}/secret.json')",
    "DESCRIBE TABLE `fi\\x6ce`('{d}/secret.json')",
    "EXPLAIN SELECT file('{d}/secret.txt')",
    "EXPLAIN PLAN SELECT * FROM file('{d}/secret.json')",
    "SELECT * FROM '{d}/secret.json'",
    "SELECT * FROM default.`{d}/secret.json`",
    "SELECT * FROM fileCluster('default', '{d}/secret.json')",
    "SELECT * FROM filesystem('{d}')",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{d}/secret.txt')))",
]
NETWORK_CALLS = [
    "SELECT * FROM url('{u}/?query=SELECT+1', 'TSV', 'a String')",
    "DESCRIBE TABLE url('{u}/?query=SELECT+1')",
    "SELECT * FROM s3('{u}/a/b', 'TSV')",
    "SELECT * FROM remote('127.0.0.1:9000', 'system.one')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM executable('sh', 'TSV', 'a String')",
    "SELECT * FROM Python(os)",
    "SELECT * FROM eval('SELECT 1')",
]
WRITES = [
    "INSERT INTO t (a) VALUES (2)",
    "INSERT INTO FUNCTION file('{d}/out.tsv') SELECT 1",
    "SELECT 1 INTO OUTFILE '{d}/out.tsv'",
    "SELECT 1 into/**/outfile '{d}/out.tsv'",
    "CREATE TABLE u (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE u (a Int8)",
    "CREATE FUNCTION f AS x -> 1",
    "DROP TABLE t",
    "TRUNCATE TABLE t",
    "ALTER TABLE t DELETE WHERE 1",
    "OPTIMIZE TABLE t FINAL",
    "SYSTEM STOP MERGES",
    "KILL QUERY WHERE 1",
    "BACKUP TABLE t TO File('{d}/backup')",
    "SET readonly = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1; SYSTEM STOP MERGES",
    "SELECT 1; DROP TABLE t",
    "/* SELECT */ DROP TABLE t",
    "EXPLAIN AST DROP TABLE t; DROP TABLE t",
]


@pytest.mark.parametrize("sql", [*FILE_READS, *NETWORK_CALLS, *WRITES])
def test_analyst_can_neither_write_nor_read_outside_of_tables(
    analyst: ClickHouseHttp, directory: Path, sql: str
) -> None:
    statement = sql.replace("{d}", str(directory)).replace("{u}", analyst.url)
    for database in ("sequence", "default"):
        reply = analyst.send(statement, database=database)
        assert reply.status >= 400
        assert SECRET not in reply.text.replace(statement, "")
    assert not (directory / "out.tsv").exists()
    assert ClickHouseHttp(analyst.url).query("SELECT a, properties FROM t") == '1\t{"file":3,"x\\\\/y":2}'


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT a / 2, properties.`x/y` FROM t -- file('x')", "0.5\t2"),
        ("SELECT properties.file, 'into outfile', 'file(' LIKE '%;%' FROM t;", "3\tinto outfile\t0"),
        ("(SELECT 1) UNION ALL (SELECT 1)", "1\n1"),
        ("WITH x AS (SELECT a FROM t) SELECT sum(a) FROM x CROSS JOIN numbers(2) AS n", "2"),
        ("SHOW TABLES", "t"),
        ("EXISTS TABLE t", "1"),
        ("SELECT name FROM system.columns WHERE table = 't' AND name = 'a'", "a"),
        ("SELECT getSetting('readonly')", "1"),
    ],
)
def test_analyst_can_read_tables(analyst: ClickHouseHttp, sql: str, answer: str) -> None:
    assert analyst.query(sql) == answer


def test_analyst_can_change_limits_but_not_readonly(analyst: ClickHouseHttp) -> None:
    assert analyst.query("SELECT getSetting('max_execution_time')") == "300"
    assert analyst.query("SELECT getSetting('max_execution_time')", max_execution_time=7) == "7"
    assert analyst.send("INSERT INTO t (a) VALUES (2)", readonly=0).status >= 400
    assert analyst.send("INSERT INTO t (a) VALUES (2)", readonly=0, session_id="s").status >= 400
    assert analyst.query("SELECT getSetting('readonly')", readonly=0, session_id="s") == "1"
    assert analyst.query("SELECT getSetting('readonly')", session_id="s") == "1"
    assert analyst.send(b'{"a":2}', query="INSERT INTO t (a) FORMAT JSONEachRow").status >= 400
    assert analyst.query("SELECT count() FROM t") == "1"


def test_requests_of_web_pages_are_rejected(url: str) -> None:
    client = ClickHouseHttp(url)
    assert client.send("SELECT 1", headers={"Origin": "http://example.com"}).status == 403
    assert client.send("SELECT 1", headers={"Host": "example.com"}).status == 403
    assert client.send("SELECT 1", headers={"Host": "localhost:8123"}).text == "1\n"


def test_users_authenticate_with_their_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD", "write")
    monkeypatch.setenv("SEQUENCE_LOCAL_ANALYST_PASSWORD", "read")
    with services.running(services.embedded_clickhouse(tmp_path)) as service:
        client = ClickHouseHttp(service.address)
        assert (client.send("SELECT 1").status, client.send("SELECT 1").code) == (403, 516)
        assert ClickHouseHttp(service.address, "default", "read").send("SELECT 1").code == 516
        assert ClickHouseHttp(service.address, "analyst", "write").send("SELECT 1").code == 516
        assert ClickHouseHttp(service.address, "somebody", "").send("SELECT 1").code == 516
        assert ClickHouseHttp(service.address, "default", "write").query("SELECT 1") == "1"
        assert ClickHouseHttp(service.address, "analyst", "read").query("SELECT 1") == "1"
        keys = {"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": "read"}
        assert client.send("SELECT 1", headers=keys).text == "1\n"
        basic = {"Authorization": f"Basic {base64.b64encode(b'default:write').decode()}"}
        assert client.send("SELECT 1", headers=basic).text == "1\n"
        assert client.send("SELECT 1", headers={"Authorization": "Basic ???"}).code == 516
        assert client.send(method="GET").text == "Ok.\n"
