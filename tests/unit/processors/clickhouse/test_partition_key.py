"""Which statements of the migrations change the key of a table's partitions."""

from __future__ import annotations

import pytest

from processors.clickhouse.migrate import read_migrations
from processors.clickhouse.partition_key import NewKey, new_key_of
from schemas.clickhouse import TABLES
from schemas.retention import WEEK_KEY


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("ALTER TABLE events MODIFY PARTITION BY toMonday(received_at)", NewKey("events", "toMonday(received_at)")),
        ("ALTER TABLE events MODIFY SETTING merge_selector_base = 10", None),
        ("CREATE TABLE x (n UInt8) ENGINE = MergeTree PARTITION BY n ORDER BY n", None),
    ],
)
def test_statement_that_changes_a_key_is_recognized(statement: str, wanted: NewKey | None) -> None:
    assert new_key_of(statement) == wanted


def test_last_key_of_each_table_with_times_of_receipt_is_the_week() -> None:
    keys = {
        found.table: found.key
        for file in read_migrations()
        for statement in file.statements
        if (found := new_key_of(statement)) is not None
    }

    received = {table.name for table in TABLES if "received_at" in dict(table.columns)}
    assert keys == dict.fromkeys(received, WEEK_KEY)
