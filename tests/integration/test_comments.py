"""What analysts see about the tables: the comments that a migration gives to tables of the version before."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import Migration, migrate, read_migrations
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import valid_lease
from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.records import event_read, track

FILES = read_migrations()
[COMMENTS] = [file for file in FILES if file.name.endswith("_comments.sql")]
BEFORE = FILES[: FILES.index(COMMENTS)]


@pytest.fixture
def settings(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A database of the version before, with a row."""
    made = services.clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    migrate(made, BEFORE)
    client = ClickHouse(made)
    ClickHouseSink(client).insert(
        [Block(EVENTS, 0, item_rows([event_read(0, track("m"), source_offset=0)], 1, 0).events)], valid_lease
    )
    client.close()
    yield made
    ClickHouseHttp.of(made, "default").query(f"DROP DATABASE {made.database}")


def comments(settings: ClickHouseSettings, table: str) -> dict[str, str]:
    """Return the comments of the columns of *table*, and its own with an empty name."""
    reader = ClickHouseHttp.of(settings)
    of_table = reader.rows(
        "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = {t:String}", param_t=table
    )
    return {row["name"]: row["comment"] for row in reader.rows(f"DESCRIBE {table}")} | {"": of_table[0]["comment"]}


def parts(settings: ClickHouseSettings) -> list[str]:
    rows = ClickHouseHttp.of(settings).rows(
        "SELECT name, modification_time FROM system.parts WHERE database = currentDatabase() AND table = 'events'"
    )
    return [str(row) for row in rows]


def test_tables_of_the_version_before_get_comments_and_keep_their_parts(settings: ClickHouseSettings) -> None:
    before, stored = comments(settings, "events"), parts(settings)

    assert migrate(settings, [*BEFORE, COMMENTS]) == [COMMENTS.name]

    found = comments(settings, "events")
    assert found["event"].startswith("Name of the event as sent. An event may have several spellings")
    assert "num(properties.price) reads a number, str(properties.plan) text" in found["properties"]
    assert found[""] == "A row for each unique track event"
    assert {name for name, text in found.items() if before[name] != text} == {"event", "properties", ""}
    assert "str(traits.plan) text" in comments(settings, "identifies")["traits"]
    assert "The view persons" in comments(settings, "identifies")[""]
    assert "The view persons has the newest of each" in comments(settings, "person_states")[""]
    assert parts(settings) == stored
    assert len(stored) == 1


def test_comments_can_be_given_twice(settings: ClickHouseSettings) -> None:
    """A migration that is interrupted is run again from its beginning."""
    again = Migration("9999_again.sql", COMMENTS.text)
    migrate(settings, [*BEFORE, COMMENTS])
    first = [comments(settings, table) for table in ("events", "identifies", "person_states")]

    migrate(settings, [*BEFORE, COMMENTS, again])

    assert [comments(settings, table) for table in ("events", "identifies", "person_states")] == first


def test_comments_need_no_right_that_altering_tables_does_not_include(clickhouse: str) -> None:
    rows = ClickHouseHttp(clickhouse).rows("SELECT privilege, parent_group FROM system.privileges")
    parents = {row["privilege"]: row["parent_group"] for row in rows}
    for words in ("COMMENT COLUMN", "MODIFY COMMENT"):
        assert any(words in statement for statement in COMMENTS.statements)
        assert parents[f"ALTER {words}"] in {"ALTER COLUMN", "ALTER TABLE"}
    assert parents["ALTER COLUMN"] == "ALTER TABLE"
    assert all(re.match(r"ALTER TABLE \w+ (COMMENT COLUMN|MODIFY COMMENT) ", each) for each in COMMENTS.statements)
