"""SQL parsing and access control of the embedded ClickHouse server."""

from __future__ import annotations

import pytest

from deploy.embedded.clickhouse.errors import QueryError, from_engine
from deploy.embedded.clickhouse.statements import (
    is_insert,
    output_format,
    returns_result,
    split_insert,
    with_rows_from_file,
)


@pytest.mark.parametrize(
    ("text", "statement", "rows"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2\n", b"INSERT INTO t FORMAT CSV", b"1,2\n"),
        (b"INSERT INTO t FORMAT CSV 1,2", b"INSERT INTO t FORMAT CSV", b"1,2"),
        (b"insert into t format RowBinary\r\n\x00\xff", b"insert into t format RowBinary", b"\x00\xff"),
        (b"INSERT INTO t FORMAT CSV", b"INSERT INTO t FORMAT CSV", b""),
        (b"INSERT INTO t FORMAT CSV;\n", b"INSERT INTO t FORMAT CSV", b""),
        (b"INSERT INTO t FORMAT RowBinary\n\n", b"INSERT INTO t FORMAT RowBinary", b"\n"),
        (b"INSERT INTO t (`format`, format) FORMAT CSV\n1", b"INSERT INTO t (`format`, format) FORMAT CSV", b"1"),
        (b"INSERT INTO t -- FORMAT x\nFORMAT CSV\n1", b"INSERT INTO t -- FORMAT x\nFORMAT CSV", b"1"),
        (b"INSERT INTO t VALUES ('a FORMAT CSV b')", b"INSERT INTO t VALUES", b" ('a FORMAT CSV b')"),
        (b"INSERT INTO t SELECT * FROM values('a Int8', 1)", b"INSERT INTO t SELECT * FROM values('a Int8', 1)", b""),
        (b"INSERT INTO t SELECT ' FORMAT x ' FORMAT CSV\n1", b"INSERT INTO t SELECT ' FORMAT x ' FORMAT CSV", b"1"),
    ],
)
def test_insert_is_split_before_its_rows(text: bytes, statement: bytes, rows: bytes) -> None:
    assert is_insert(text)
    assert split_insert(text) == (statement, rows)


def test_insert_is_recognized_after_comments_and_in_any_case() -> None:
    assert is_insert(b"/* x */ -- y\n inSERT INTO t")
    assert not is_insert(b"SELECT 'INSERT'")
    assert not is_insert(b"")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t FORMAT CSV", "INSERT INTO t  FROM INFILE '/f'  FORMAT CSV"),
        ("INSERT INTO t (a) SETTINGS b=1 FORMAT CSV", "INSERT INTO t (a)  FROM INFILE '/f' SETTINGS b=1  FORMAT CSV"),
        (
            "INSERT INTO t SELECT a, 'input()' FROM input ( 'a String' ) WHERE a FORMAT CSV",
            "INSERT INTO t SELECT a, 'input()' FROM file('/f', 'CSV', 'a String') WHERE a ",
        ),
    ],
)
def test_insert_is_rewritten_to_read_rows_from_a_file(sql: str, expected: str) -> None:
    assert with_rows_from_file(sql, "/f") == expected


@pytest.mark.parametrize("sql", ["INSERT INTO t", "INSERT INTO t SELECT 1 FORMAT CSV", "INSERT INTO t FORMAT CSV x"])
def test_insert_that_cannot_read_rows_is_rejected(sql: str) -> None:
    with pytest.raises(QueryError) as error:
        with_rows_from_file(sql, "/f")
    assert (error.value.code, error.value.status) == (62, 400)


@pytest.mark.parametrize(
    ("normalized", "expected"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 'FORMAT CSV'", "JSON"),
        ("SELECT format FROM t", None),
        ("SELECT ' FORMAT JSON'", None),
        ("SELECT `FORMAT` AS JSON", None),
        ("SELECT (SELECT 1) AS x", None),
    ],
)
def test_output_format_is_the_one_at_the_end_of_the_statement(normalized: str, expected: str | None) -> None:
    assert output_format(normalized) == expected


def test_statements_with_a_result_are_recognized() -> None:
    assert all(
        returns_result(sql) for sql in ("SELECT 1", "(SELECT 1)", "SHOW TABLES", "EXISTS TABLE t", "KILL QUERY WHERE 1")
    )
    assert not any(returns_result(sql) for sql in ("CREATE TABLE t", "INSERT INTO t VALUES", "SET a = 1", ""))


def test_engine_error_keeps_its_code_without_a_repeated_prefix() -> None:
    error = from_engine(
        RuntimeError("Failed: Code: 60. DB::Exception: Code: 60. DB::Exception: Unknown table. (X)"), "default"
    )
    assert (error.code, error.status, error.text) == (60, 404, "Code: 60. DB::Exception: Unknown table. (X)\n")
    assert from_engine(RuntimeError("odd"), "default").text == "Code: 1001. DB::Exception: odd\n"


def test_engine_error_names_the_user_of_the_request() -> None:
    error = RuntimeError("Code: 497. DB::Exception: default: Not enough privileges. To execute this query, …")
    assert from_engine(error, "analyst").text.startswith("Code: 497. DB::Exception: analyst: Not enough privileges.")
