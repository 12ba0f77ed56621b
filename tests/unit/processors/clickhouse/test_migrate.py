"""Numbered files to statements, and what may not have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from processors.clickhouse.errors import MigrationError
from processors.clickhouse.migrate import Migration, _check, _repeatable, read_migrations

FILE = """\
-- What it is for; and why.
CREATE TABLE a
(
    x String COMMENT 'one; two -- three',
    y String
)
ENGINE = MergeTree ORDER BY x;

-- A view; of it.
CREATE VIEW b AS
SELECT x FROM a;  \n
ALTER TABLE a ADD COLUMN IF NOT EXISTS z String
"""


def test_a_file_is_cut_into_its_statements() -> None:
    statements = Migration("1.sql", FILE).statements

    assert [statement.splitlines()[-1] for statement in statements] == [
        "ENGINE = MergeTree ORDER BY x",
        "SELECT x FROM a",
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS z String",
    ]
    assert "COMMENT 'one; two -- three'" in statements[0]


@pytest.mark.parametrize("text", ["", "\n\n", "-- nothing yet\n", "-- nothing;\n-- at all;\n", ";\n;\n"])
def test_a_file_without_statements_has_none(text: str) -> None:
    assert Migration("1.sql", text).statements == []


def test_files_come_in_the_order_of_their_numbers_and_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("0010_c.sql", "0002_b.sql", "0001_a.sql", "notes.txt"):
        (tmp_path / name).write_text(name)

    assert [migration.name for migration in read_migrations(tmp_path)] == ["0001_a.sql", "0002_b.sql", "0010_c.sql"]


def test_the_products_files_are_numbered_without_a_gap() -> None:
    migrations = read_migrations()

    assert [migration.name[:4] for migration in migrations] == [f"{n:04d}" for n in range(1, len(migrations) + 1)]
    assert all(migration.statements for migration in migrations)


@pytest.mark.parametrize(
    ("statement", "repeatable"),
    [
        ("CREATE TABLE a (x String)", "CREATE TABLE IF NOT EXISTS a (x String)"),
        ("CREATE VIEW b AS SELECT 1", "CREATE VIEW IF NOT EXISTS b AS SELECT 1"),
        ("CREATE TABLE IF NOT EXISTS a (x String)", "CREATE TABLE IF NOT EXISTS a (x String)"),
        ("-- about CREATE TABLE it\nCREATE TABLE a (x String)", "CREATE TABLE IF NOT EXISTS a (x String)"),
        ("ALTER TABLE a DROP COLUMN IF EXISTS x", "ALTER TABLE a DROP COLUMN IF EXISTS x"),
    ],
)
def test_a_statement_can_be_run_again(statement: str, repeatable: str) -> None:
    assert _repeatable(statement) == repeatable


def test_every_statement_of_the_products_files_can_be_run_again() -> None:
    """What is made is made where it is missing; a setting is the same however often it is set."""
    repeatable = ("IF NOT EXISTS", "MODIFY SETTING")
    for migration in read_migrations():
        for statement in map(_repeatable, migration.statements):
            assert any(words in statement for words in repeatable), migration.name


ONE, TWO = Migration("0001.sql", "SELECT 1"), Migration("0002.sql", "SELECT 2")


def test_files_that_are_applied_as_they_are_or_not_yet_are_fine() -> None:
    _check([ONE, TWO], {})
    _check([ONE, TWO], {"0001.sql": ONE.sha256})


def test_a_file_that_changed_since_it_was_applied_is_refused_by_its_name() -> None:
    with pytest.raises(MigrationError, match=r"0001\.sql.*new file"):
        _check([ONE, TWO], {"0001.sql": TWO.sha256})


def test_a_file_that_was_applied_and_is_missing_is_refused_by_its_name() -> None:
    with pytest.raises(MigrationError, match=r"removed: 0002\.sql"):
        _check([ONE], {"0001.sql": ONE.sha256, "0002.sql": TWO.sha256})
