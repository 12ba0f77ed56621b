"""The statements of the migrations about one table, for tests that create it anew."""

from __future__ import annotations

import re

from processors.clickhouse.migrate import read_migrations


def statements_of(table: str) -> list[str]:
    """Return the statements that create and change *table*, in order."""
    about = re.compile(rf"(CREATE TABLE IF NOT EXISTS|ALTER TABLE) {table}\b")
    return [text for file in read_migrations() for text in file.statements if about.match(text)]


def added_columns(table: str) -> list[str]:
    """Return the statements that add columns to *table* after its creation, in order."""
    return [statement for statement in statements_of(table) if "ADD COLUMN" in statement]
