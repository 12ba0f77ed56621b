"""Requests of browsers, and statements that reach beyond the tables."""

from __future__ import annotations

import pytest

from deploy.embedded.clickhouse.access import check_project_read, check_read, check_source
from deploy.embedded.clickhouse.errors import QueryError


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


@pytest.mark.parametrize("normalized", ["SHOW GRANTS", "SHOW GRANTS FOR default", "SHOW GRANTS FOR CURRENT_USER"])
def test_login_of_a_project_sees_no_grants_of_others(normalized: str) -> None:
    with pytest.raises(QueryError, match="SHOW GRANTS is not allowed"):
        check_project_read(normalized, "ana")
    check_project_read("SHOW TABLES", "ana")
    check_project_read("SELECT 1 AS `show`, 2 AS grants", "ana")
