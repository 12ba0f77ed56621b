"""Statements of migration files, and the check of applied files."""

from __future__ import annotations

from pathlib import Path

import pytest

from processors.clickhouse.errors import MigrationError, OutdatedTablesError
from processors.clickhouse.migrate import Migration, _check, read_migrations

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


def test_file_is_split_into_statements_without_comments() -> None:
    statements = Migration("1.sql", FILE).statements

    assert [statement.splitlines()[-1] for statement in statements] == [
        "ENGINE = MergeTree ORDER BY x",
        "SELECT x FROM a",
        "ALTER TABLE a ADD COLUMN IF NOT EXISTS z String",
    ]
    assert "COMMENT 'one; two -- three'" in statements[0]
    assert [statement.splitlines()[0] for statement in statements[:2]] == ["CREATE TABLE a", "CREATE VIEW b AS"]


@pytest.mark.parametrize("text", ["", "\n\n", "-- nothing yet\n", "-- nothing;\n-- at all;\n", ";\n;\n"])
def test_file_without_statements_has_none(text: str) -> None:
    assert Migration("1.sql", text).statements == []


def test_only_sql_files_are_read_ordered_by_number(tmp_path: Path) -> None:
    for name in ("0010_c.sql", "0002_b.sql", "0001_a.sql", "notes.txt"):
        (tmp_path / name).write_text(name)

    assert [migration.name for migration in read_migrations(tmp_path)] == ["0001_a.sql", "0002_b.sql", "0010_c.sql"]


def test_files_of_the_product_are_numbered_without_a_gap() -> None:
    migrations = read_migrations()

    assert [migration.name[:4] for migration in migrations] == [f"{n:04d}" for n in range(1, len(migrations) + 1)]
    assert all(migration.statements for migration in migrations)


def test_every_statement_of_the_product_is_idempotent() -> None:
    idempotent = (
        "IF NOT EXISTS",
        "IF EXISTS",
        "MODIFY SETTING",
        "MATERIALIZE INDEX",
        "COMMENT COLUMN",
        "MODIFY COMMENT",
        "MODIFY PARTITION BY",
        "OR REPLACE",
    )
    for migration in read_migrations():
        for statement in migration.statements:
            assert any(words in statement.splitlines()[0] for words in idempotent), migration.name


ONE, TWO = Migration("0001.sql", "SELECT 1"), Migration("0002.sql", "SELECT 2")


def test_unchanged_and_new_files_pass_the_check() -> None:
    _check([ONE, TWO], {})
    _check([ONE, TWO], {"0001.sql": ONE.sha256})


def test_changed_file_is_an_error_with_its_name() -> None:
    with pytest.raises(OutdatedTablesError, match=r"older version: 0001\.sql differs\. Run `sequence tables rebuild`"):
        _check([ONE, TWO], {"0001.sql": TWO.sha256})


def test_missing_applied_file_is_an_error_with_its_name() -> None:
    with pytest.raises(MigrationError, match=r"missing here: 0002\.sql"):
        _check([ONE], {"0001.sql": ONE.sha256, "0002.sql": TWO.sha256})


def test_file_names_its_tables_and_views() -> None:
    (persons,) = [migration for migration in read_migrations() if migration.name.startswith("0003")]

    assert (persons.tables, persons.views) == (["person_states"], ["persons"])
