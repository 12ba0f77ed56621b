"""Passwords, requests of browsers, and statements that reach beyond the tables."""

from __future__ import annotations

import pytest

from deploy.embedded.clickhouse.access import Users, check_read, check_source, users
from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from schemas.settings import SettingsError


@pytest.mark.parametrize("user", ["default", "analyst", "somebody", ""])
def test_empty_password_authenticates_nobody(user: str) -> None:
    with pytest.raises(QueryError):
        Users("", "").authenticate(user, "")
    Users("w", "a").authenticate("analyst", "a")


def test_password_that_is_no_utf8_is_rejected() -> None:
    with pytest.raises(QueryError):
        Users("w", "a").authenticate("analyst", "\udcff")


@pytest.mark.parametrize(("writer", "analyst"), [("", "a"), ("w", ""), ("", "")])
def test_server_without_a_password_does_not_start(writer: str, analyst: str) -> None:
    with pytest.raises(SettingsError) as error:
        users(EmbeddedClickHouseSettings(password=writer, analyst_password=analyst))
    assert ("SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD" in str(error.value)) == (writer == "")
    assert ("SEQUENCE_LOCAL_ANALYST_PASSWORD" in str(error.value)) == (analyst == "")
    assert users(EmbeddedClickHouseSettings(password="w", analyst_password="a")) == Users("w", "a")


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "127.0.0.1.example.com:8123", "10.0.0.1", "", "127.0.0.1@example.com", "localhost."),
        *("127.1", "[::ffff:127.0.0.1]", "[", "[::1", "[example]", "\udcff"),
    ],
)
def test_request_for_another_host_is_rejected(host: str) -> None:
    with pytest.raises(QueryError):
        check_source({}, host)


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost", "LOCALHOST:8123", "[::1]:8123"])
def test_request_of_a_program_is_accepted(host: str) -> None:
    # The `fetch` of Node.js sends one of the headers of browsers.
    check_source({"User-Agent": "curl/8", "Accept": "*/*", "Sec-Fetch-Mode": "cors"}, host)


@pytest.mark.parametrize(
    "normalized",
    [
        *("SELECT file('x')", "SELECT FILE('x')", "SELECT arrayMap(file, ['x'])", "SELECT * APPLY(file)"),
        *("WITH file AS f SELECT f('x')", "SELECT arrayMap({f:Identifier}, ['x'])", "SELECT `file`('x')"),
        *("SELECT 1 INTO OUTFILE 'x'", "EXPLAIN INSERT INTO t FROM INFILE 'x'", "SELECT 1 PARALLEL WITH DROP TABLE t"),
        *("DROP TABLE t", "KILL QUERY WHERE 1", "", "(DROP TABLE t)", "SET ROLE writer", "SET param_f = 'file'"),
        *("SET max_threads = 1, profile = 'default'", "SET TRANSACTION SNAPSHOT 1", "SET"),
        *("SELECT * FROM arrowstream('x') AS format", "SELECT format ArrowStream('x')"),
    ],
)
def test_statement_beyond_the_tables_is_rejected(normalized: str) -> None:
    with pytest.raises(QueryError) as error:
        check_read(normalized, {"f": "file"}, "analyst")
    assert error.value.code in {164, 497}
    assert str(error.value).startswith("analyst: ")


@pytest.mark.parametrize(
    "normalized",
    [
        *("SELECT 'file(', t.file, properties.file FROM t", "WITH 1 AS x SELECT x / 2", "SHOW TABLES", "(SELECT 1)"),
        *("SELECT format('{}', a), url FROM {t:Identifier}", "SET max_threads = 1, join_use_nulls = 1"),
        *("EXPLAIN SELECT 1 SETTINGS max_threads = 1", "SELECT profile = 'x' FROM t"),
        *("SELECT 1 FORMAT ArrowStream", "SELECT 1 FORMAT ArrowStream SETTINGS max_threads = 1"),
    ],
)
def test_statement_that_reads_tables_is_accepted(normalized: str) -> None:
    check_read(normalized, {"t": "events"}, "analyst")
