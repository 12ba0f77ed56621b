"""The statements of the migrations about one table, for tests that create it anew."""

from __future__ import annotations

import re

from processors.clickhouse.migrate import read_migrations
from processors.clickhouse.partition_key import new_key_of


def statements_of(table: str) -> list[str]:
    """Return the statements that create and change *table*, in order."""
    about = re.compile(rf"(CREATE TABLE IF NOT EXISTS|ALTER TABLE) {table}\b")
    found = [text for file in read_migrations() for text in file.statements if about.match(text)]
    keys = [changed for text in found if (changed := new_key_of(text)) is not None]
    if keys:
        # A new table has its last key from the beginning.
        found[0] = re.sub(r"PARTITION BY \S+\n", f"PARTITION BY {keys[-1].key}\n", found[0])
    return [text for text in found if new_key_of(text) is None]


def added_columns(table: str) -> list[str]:
    """Return the statements that add columns to *table* after its creation, in order."""
    return [statement for statement in statements_of(table) if "ADD COLUMN" in statement]
