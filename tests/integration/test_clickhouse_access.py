"""Access control of the embedded ClickHouse server: what an analyst may read, and what a GET may do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.embedded.clickhouse.access import REVIEWED_ENGINE
from processors.clickhouse.access import create_project_login, project_logins, set_password, statements
from schemas.settings import ClickHouseSettings
from tests.support import services
from tests.support.chromium_headers import HEADERS
from tests.support.clickhouse_escapes import (
    FILE_READS,
    NETWORK_CALLS,
    NOT_GRANTED,
    SECRET,
    SETTINGS,
    SETTINGS_IN_THE_URL,
    WRITES,
)
from tests.support.clickhouse_http import ClickHouseHttp

EVENT = b'{"project_id":"dev","event":"e","user_id":"u","message_id":"m","properties":{"x/y":2,"file":3}}'


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    (directory / "secret.txt").write_text(SECRET)
    (directory / "secret.json").write_text(f'{{"a":"{SECRET}"}}')
    return directory


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Iterator[str]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        client = ClickHouseHttp(service.address)
        client.query(
            "CREATE TABLE events (project_id String, event String, user_id String, message_id String, properties JSON)"
            " ENGINE = MergeTree ORDER BY event"
        )
        client.send(EVENT, query="INSERT INTO events FORMAT JSONEachRow")
        client.query("CREATE TABLE schema_migrations (name String) ENGINE = MergeTree ORDER BY name")
        client.send(SECRET, query="INSERT INTO schema_migrations FORMAT TSV")
        client.query("CREATE DATABASE other")
        client.query(f"CREATE TABLE other.t ENGINE = MergeTree ORDER BY a AS SELECT '{SECRET}' AS a")
        # The file exists: a statement that could read it would.
        assert client.query(f"SELECT file('{directory}/secret.txt')") == SECRET
        yield service.address


@pytest.fixture
def analyst(url: str) -> ClickHouseHttp:
    return ClickHouseHttp(url, user="analyst", password=services.ANALYST_PASSWORD)


@pytest.mark.parametrize("sql", [*FILE_READS, *NETWORK_CALLS, *WRITES, *NOT_GRANTED, *SETTINGS])
def test_analyst_can_neither_write_nor_read_outside_of_tables(
    analyst: ClickHouseHttp, directory: Path, sql: str
) -> None:
    statement = sql.replace("{d}", str(directory)).replace("{u}", f"http://{analyst.netloc}")
    for database in ("sequence", "default"):
        reply = analyst.send(statement, database=database, param_f="file", param_g="`file`")
        assert reply.code is not None
        assert reply.status >= 400
        assert SECRET not in reply.text.replace(statement, "")
    _nothing_changed(analyst, directory)


def test_statements_read_and_write_files_for_the_writer(url: str, tmp_path: Path) -> None:
    """The control: what is rejected for an analyst works where nothing rejects it."""
    client = ClickHouseHttp(url)
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "secret.json").write_text(f'{{"a":"{SECRET}"}}')

    def replies(statements: list[str]) -> list[str]:
        filled = [sql.replace("{d}", str(tmp_path)) for sql in statements]
        return [client.send(sql, param_f="file", param_g="file").text.replace(sql, "") for sql in filled]

    assert sum(SECRET in text for text in replies(FILE_READS)) >= 25
    assert sum(SECRET in text for text in replies(SETTINGS)) == 2
    replies([sql for sql in WRITES if "INTO OUTFILE" in sql])
    assert (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize("sql", [*FILE_READS, *NETWORK_CALLS, *WRITES])
def test_get_can_neither_write_nor_read_outside_of_tables(url: str, directory: Path, sql: str) -> None:
    client = ClickHouseHttp(url)
    statement = sql.replace("{d}", str(directory)).replace("{u}", f"http://{client.netloc}")
    reply = client.send(method="GET", query=statement, param_f="file", param_g="`file`")
    assert reply.code is not None
    assert reply.status >= 400
    assert SECRET not in reply.text.replace(statement, "")
    _nothing_changed(client, directory)


@pytest.mark.parametrize("settings", SETTINGS_IN_THE_URL, ids=str)
def test_setting_that_an_analyst_may_not_change_is_rejected(
    analyst: ClickHouseHttp, directory: Path, settings: dict[str, str]
) -> None:
    values = {name: value.replace("{d}", str(directory)) for name, value in settings.items()}
    for session in ({}, {"session_id": f"settings-{'-'.join(values)}"}):
        client = replace(analyst, settings={**values, **session})
        reply = client.send("SELECT 'x' AS a FROM events FORMAT Template")
        assert reply.code in {115, 164, 452}
        assert SECRET not in reply.text
    _nothing_changed(analyst, directory)


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT event, properties.`x/y` FROM events -- file('x')", "e\t2"),
        ("SELECT properties.file, 'into outfile', 'file(' LIKE '%;%' FROM events;", "3\tinto outfile\t0"),
        ("(SELECT 1) UNION ALL (SELECT 1)", "1\n1"),
        ("WITH x AS (SELECT event FROM events) SELECT count() FROM x CROSS JOIN numbers(2) AS n", "2"),
        ("SELECT format('{} {}', event, user_id) FROM events", "e u"),
        ("SELECT event FROM {t:Identifier}", "e"),
        ("SHOW TABLES", "events"),
        ("SHOW DATABASES", "sequence"),
        ("EXISTS TABLE events", "1"),
        ("SELECT name FROM system.columns WHERE table = 'events' AND name = 'event'", "event"),
        ("SELECT name FROM system.tables WHERE database != 'system'", "events"),
        ("SELECT getSetting('readonly')", "2"),
        ("SELECT currentRoles()", "['analyst']"),
        ("SELECT table_name FROM information_schema.tables WHERE table_schema = 'sequence'", "events"),
    ],
)
def test_analyst_can_read_tables(analyst: ClickHouseHttp, sql: str, answer: str) -> None:
    assert analyst.query(sql, param_t="events") == answer


@pytest.mark.parametrize("table", ["processes", "errors", "server_settings", "disks", "user_query_log"])
def test_analyst_sees_no_rows_of_other_system_tables(analyst: ClickHouseHttp, url: str, table: str) -> None:
    assert analyst.query(f"SELECT count() FROM system.{table}") == "0"  # noqa: S608
    if table in {"processes", "server_settings", "disks"}:
        assert ClickHouseHttp(url).query(f"SELECT count() > 0 FROM system.{table}") == "1"  # noqa: S608


def test_analyst_changes_settings_in_url_query_and_session(
    analyst: ClickHouseHttp,
) -> None:
    in_url = {"max_result_rows": "9", "max_execution_time": "60", "result_overflow_mode": "break", "extremes": "0"}
    assert replace(analyst, settings=in_url).query("SELECT getSetting('max_execution_time')") == "60"
    assert analyst.query("SELECT getSetting('max_threads') SETTINGS max_threads = 3") == "3"
    assert analyst.query("SET join_use_nulls = 0, session_timezone = 'Asia/Tokyo'", session_id="a") == ""
    assert analyst.query("SELECT getSetting('join_use_nulls'), timezone()", session_id="a") == "false\tAsia/Tokyo"
    assert analyst.query("SELECT getSetting('max_threads')", session_id="a", max_threads=2) == "2"
    assert analyst.query("SELECT getSetting('join_use_nulls')", session_id="b") == "true"
    assert analyst.query("SET max_execution_time = 9", session_id="a") == ""
    assert analyst.query("SELECT getSetting('max_execution_time')", session_id="a", max_execution_time=5) == "5"
    assert analyst.query("SELECT getSetting('max_execution_time')", session_id="a") == "9"


@pytest.mark.parametrize(
    ("setting", "rows"),
    [("limit", "0"), ("offset", "1\n2"), ("final", "0\n1\n2"), ("extremes", "0\n1\n2\n\n0\n2")],
)
def test_setting_of_the_result_applies_to_the_query_of_an_analyst_only(
    analyst: ClickHouseHttp, setting: str, rows: str
) -> None:
    sql = "SELECT number FROM numbers(3)"

    assert replace(analyst, settings={setting: "1"}).query(sql) == rows
    assert analyst.query(f"SET {setting} = 1", session_id=setting) == ""
    assert analyst.query(sql, session_id=setting) == rows


def test_analyst_lowers_limits_and_never_raises_them(analyst: ClickHouseHttp) -> None:
    limits = {"max_execution_time": 300, "max_memory_usage": 4_000_000_000, "max_result_bytes": 1_000_000_000}
    for name, limit in limits.items():
        shown = f"SELECT getSetting('{name}')"
        assert analyst.query(shown) == str(limit)
        assert replace(analyst, settings={name: "200"}).query(shown) == "200"
        for value in (0, limit + 1, -1, "inf"):
            assert replace(analyst, settings={name: str(value)}).send(shown).status >= 400
            assert analyst.send(f"{shown} SETTINGS {name} = {value}").status >= 400
            assert analyst.send(f"SET {name} = {value}", session_id="limits").status >= 400
        assert analyst.send(f"{shown} SETTINGS {name} = DEFAULT").status >= 400
        assert analyst.query(shown, session_id="limits") == str(limit)
    slow = "SELECT count() FROM numbers(20) WHERE sleepEachRow(1) = 0"
    assert analyst.send(f"{slow} SETTINGS max_execution_time = 1, max_block_size = 1").code == 159


def test_profile_does_not_lift_the_limits(analyst: ClickHouseHttp) -> None:
    shown = "SELECT getSetting('max_execution_time'), getSetting('readonly')"
    for profile in ("default", "reader"):
        assert analyst.query(f"{shown} SETTINGS profile = '{profile}'") == "300\t2"
        assert analyst.send(f"{shown} SETTINGS profile = '{profile}', max_execution_time = 0").code == 452
        assert analyst.send(shown, profile=profile).code == 115
        assert analyst.send(f"SET profile = '{profile}'", session_id="profile").code == 164


def test_setting_in_a_subquery_of_an_analyst_has_no_effect(analyst: ClickHouseHttp, url: str) -> None:
    sql = "SELECT count() FROM (SELECT * FROM events SETTINGS additional_table_filters = {'events': 'event = \\'x\\''})"
    assert ClickHouseHttp(url).query(sql) == "0"
    assert analyst.query(sql) == "1"


def test_insert_with_rows_by_an_analyst_is_rejected(analyst: ClickHouseHttp) -> None:
    for query in ("INSERT INTO events FORMAT JSONEachRow", "INSERT INTO events (event) VALUES"):
        assert analyst.send(EVENT, query=query).code == 164
        assert analyst.send(EVENT, query=query, session_id="insert").code == 164
    assert analyst.query("SELECT count() FROM events") == "1"


def test_get_reads_every_table_and_writes_none(url: str) -> None:
    client = ClickHouseHttp(url)
    assert client.send(method="GET", query="SELECT a FROM other.t").text == f"{SECRET}\n"
    assert client.send(method="GET", query="SELECT getSetting('max_execution_time')").text == "0\n"
    assert client.send(method="GET", query="SELECT 1", max_execution_time=1, max_threads=2).text == "1\n"
    assert client.send(method="GET", query="SELECT 1", format_template_row="x").code == 452


def test_engine_parses_the_statements_that_create_the_analyst_of_a_server(url: str) -> None:
    of_project = create_project_login("sequence", "ana", "my-shop", "sequence_my_shop", "password")
    others = [set_password("ana", "password"), project_logins("sequence")]
    for statement in [*statements(ClickHouseSettings(), "password"), *of_project, *others]:
        parsed = ClickHouseHttp(url).query("SELECT formatQuerySingleLine({q:String})", param_q=statement)
        assert "max_memory_usage = 4000000000 MIN 1 MAX 4000000000" in parsed or "SETTINGS" not in statement


@pytest.mark.parametrize("vector", HEADERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_of_a_browser_is_rejected_with_the_right_password(url: str, vector: str, method: str) -> None:
    client = ClickHouseHttp(url)
    reply = client.send(method=method, query="SELECT 1", headers=HEADERS[vector])
    assert (reply.status, reply.code) == (403, 497)
    assert not any(name.startswith("access-control-") for name in reply.headers)
    for name in HEADERS[vector].keys() & {"Origin", "Sec-Fetch-Site", "Sec-Fetch-Dest"}:
        assert client.send(method=method, query="SELECT 1", headers={name: HEADERS[vector][name]}).status == 403
    assert client.send(method=method, query="SELECT 1").text == "1\n"


@pytest.mark.parametrize(
    "headers",
    [{"Referer": "http://page.example/"}, {"Host": "page.example"}, {"Host": "page.example:8123"}, {"Origin": "null"}],
    ids=str,
)
def test_request_for_or_from_another_host_is_rejected(url: str, headers: dict[str, str]) -> None:
    client = ClickHouseHttp(url)
    assert client.send("SELECT 1", headers=headers).code == 497
    assert client.send(method="GET", headers=headers).code == 497
    assert client.send("SELECT 1", headers={"Host": "localhost:8123"}).text == "1\n"


def test_login_in_the_url_is_rejected(url: str) -> None:
    with_login = ClickHouseHttp(url)
    without_login = ClickHouseHttp(f"http://{with_login.netloc}")
    login = {"user": "default", "password": services.WRITER_PASSWORD}
    for settings in (login, {"user": "default"}, {"password": services.WRITER_PASSWORD}):
        for client in (with_login, without_login):
            reply = replace(client, settings=settings).send("SELECT 1")
            assert (reply.status, reply.code) == (403, 516)


def test_users_authenticate_with_their_passwords(url: str) -> None:
    writer, analyst = services.WRITER_PASSWORD, services.ANALYST_PASSWORD
    address = f"http://{ClickHouseHttp(url).netloc}"
    for user, password in [
        ("default", analyst),
        ("analyst", writer),
        ("somebody", ""),
        ("default", ""),
        ("analyst", ""),
    ]:
        assert ClickHouseHttp(address, user, password).send("SELECT 1").code == 516
    client = ClickHouseHttp(address)
    assert (client.send("SELECT 1").status, client.send("SELECT 1").code) == (403, 516)
    assert client.send("SELECT 1", headers={"Authorization": "Basic ???"}).code == 516
    assert client.send("SELECT 1", headers={"X-ClickHouse-User": "analyst", "X-ClickHouse-Key": analyst}).text == "1\n"
    assert client.send("SELECT 1", headers={"X-ClickHouse-Key": writer}).text == "1\n"
    assert ClickHouseHttp(address, "analyst", analyst).query("SELECT 1") == "1"
    assert client.send(method="GET").text == "Ok.\n"


def test_reviewed_functions_are_those_of_the_engine(url: str) -> None:
    """For another engine, compare `_FORBIDDEN_FUNCTIONS` with its `system.functions` and then change the constant."""
    assert ClickHouseHttp(url).query("SELECT version()") == REVIEWED_ENGINE


def test_error_names_the_user_of_the_request(analyst: ClickHouseHttp) -> None:
    assert "analyst: Not enough privileges" in analyst.send("SELECT * FROM other.t").text


def _nothing_changed(client: ClickHouseHttp, directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == ["secret.json", "secret.txt"]
    assert urlsplit(client.url).hostname == "127.0.0.1"
    assert ClickHouseHttp(client.url).query("SELECT event, properties FROM events") == 'e\t{"file":3,"x\\\\/y":2}'
    assert ClickHouseHttp(client.url).query("SELECT count() FROM other.t") == "1"
