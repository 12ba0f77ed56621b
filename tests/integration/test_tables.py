"""The tables on the real engine: migrations, and values that come back as they were written."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import MigrationError
from processors.clickhouse.migrate import Migration, migrate, read_migrations
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, Row, blocks, item_rows, person_rows
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS, TABLES, Table
from schemas.persons import Person, encode_person, fold
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import valid_lease
from tests.support import services
from tests.support.records import SlimRecord, event_read, identify, track

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


@pytest.fixture
def settings(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A database that does not exist yet."""
    made = services.clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    yield made
    server = ClickHouse(made, database="default")
    server.execute(f"DROP DATABASE IF EXISTS {made.database}")
    server.close()


@pytest.fixture
def client(settings: ClickHouseSettings) -> Iterator[ClickHouse]:
    """The tables, with merges stopped."""
    migrate(settings)
    made = ClickHouse(settings)
    for table in TABLES:
        made.execute(f"SYSTEM STOP MERGES {settings.database}.{table.name}")
    yield made
    made.close()


def put(client: ClickHouse, table: Table, rows: Sequence[Row]) -> None:
    ClickHouseSink(client).insert([Block(table, 0, rows)], valid_lease)


def put_properties(client: ClickHouse, *properties: bytes) -> None:
    """Write a track with each of *properties*."""
    records = [event_read(at, track(f"m{at}", properties=text), source_offset=at) for at, text in enumerate(properties)]
    put(client, EVENTS, item_rows(records, 1, 0).events)


def applied(settings: ClickHouseSettings) -> list[dict[str, Any]]:
    reader = ClickHouse(settings)
    try:
        return reader.query("SELECT name, sha256 FROM schema_migrations ORDER BY name")
    finally:
        reader.close()


def test_migrate_applies_and_records_every_file_once(settings: ClickHouseSettings) -> None:
    files = read_migrations()

    assert migrate(settings) == [file.name for file in files]
    assert migrate(settings) == []
    assert applied(settings) == [{"name": file.name, "sha256": file.sha256} for file in files]


def test_new_file_is_applied_after_the_applied_ones(settings: ClickHouseSettings) -> None:
    files = read_migrations()
    migrate(settings, files[:1])

    assert migrate(settings, files) == [file.name for file in files[1:]]


def test_changed_file_is_an_error_and_nothing_is_applied(settings: ClickHouseSettings) -> None:
    one = Migration("0001.sql", "CREATE TABLE IF NOT EXISTS a (x String) ENGINE = MergeTree ORDER BY x;\n")
    two = Migration("0002.sql", "CREATE TABLE IF NOT EXISTS b (x String) ENGINE = MergeTree ORDER BY x;\n")
    migrate(settings, [one])

    with pytest.raises(MigrationError, match=r"0001\.sql"):
        migrate(settings, [Migration("0001.sql", one.text + "-- changed\n"), two])
    assert [row["name"] for row in applied(settings)] == ["0001.sql"]


def test_interrupted_migration_can_be_run_again(settings: ClickHouseSettings) -> None:
    good = (
        "CREATE TABLE IF NOT EXISTS a (x String) ENGINE = MergeTree ORDER BY x;\n"
        "CREATE VIEW IF NOT EXISTS b AS SELECT x FROM a;\n"
    )
    with pytest.raises(MigrationError, match=r"0001\.sql.*no_such_table"):
        migrate(settings, [Migration("0001.sql", good + "ALTER TABLE no_such_table ADD COLUMN y String;\n")])
    assert applied(settings) == []

    more = "CREATE TABLE IF NOT EXISTS c (x String) ENGINE = MergeTree ORDER BY x;\n"
    assert migrate(settings, [Migration("0001.sql", good + more)]) == ["0001.sql"]
    reader = ClickHouse(settings)
    assert {row["name"] for row in reader.query("SHOW TABLES")} == {"a", "b", "c", "schema_migrations"}
    reader.close()


ONE_LINE = " SETTINGS print_pretty_type_names = 0"
"""Types in one line, as the DDL has them."""


def test_written_columns_match_the_tables(client: ClickHouse) -> None:
    for table in TABLES:
        found = {row["name"]: plain(row["type"]) for row in client.query(f"DESCRIBE TABLE {table.name}{ONE_LINE}")}
        assert found == dict(table.columns), table.name


def plain(kind: str) -> str:
    """Return *kind* as a row has it, without the storage type."""
    return kind.replace("LowCardinality(String)", "String")


def test_number_in_properties_stays_a_number(client: ClickHouse) -> None:
    put_properties(client, b'{"price":19.99,"count":3}', b'{"price":"19.99"}', b'{"price":{"amount":1}}', b"{}")

    assert client.query("SELECT sum(properties.price::Float64) AS s FROM events WHERE message_id = 'm0'") == [
        {"s": 19.99}
    ]
    kinds = client.query("SELECT dynamicType(properties.price) AS kind FROM events ORDER BY message_id")
    assert [row["kind"] for row in kinds] == ["Float64", "String", "None", "None"]
    assert client.query("SELECT properties FROM events WHERE message_id = 'm0'")[0]["properties"] == {
        "price": 19.99,
        "count": 3,
    }


def test_boolean_among_numbers_stays_a_boolean(client: ClickHouse) -> None:
    put_properties(client, b'{"mixed":[true,1],"plain":[true,false]}')

    # As text: in Python True equals 1.
    assert client.query("SELECT toString(properties) AS text FROM events") == [
        {"text": '{"mixed":[true,1],"plain":[true,false]}'}
    ]


NAMES = [
    "'",
    '"',
    "`",
    "\\",
    "`) VALUES ('x'); DROP TABLE events; --",
    "a' OR '1'='1",
    "{partition:UInt32}",
    "%(x)s",
    "?",
    "/* */",
    "Nullable(String)",
    "SKIP REGEXP",
    "é😀",
    " ",
    "",
    "\t\n",
    "a" * 1000,
]


@pytest.mark.parametrize("name", NAMES)
def test_property_name_is_data(client: ClickHouse, name: str) -> None:
    before = client.query("SHOW TABLES")
    said = {name: 1.5, "list": [{name: "x"}]}
    put_properties(client, json.dumps(said).encode(), json.dumps({"nested": {name: name}}).encode())

    rows = client.query("SELECT properties FROM events ORDER BY message_id")
    assert [row["properties"] for row in rows] == [said, {"nested": {name: name}}]
    assert client.query("SHOW TABLES") == before


def test_dot_in_a_property_name_is_no_level(client: ClickHouse) -> None:
    sent = [b'{"a.b":1}', b'{"a":{"b":2}}', b'{"a":{"b":1},"a.b":2}']
    put_properties(client, *sent)

    rows = client.query(
        "SELECT properties, properties.`a%2Eb` AS dotted, properties.a.b AS nested FROM events ORDER BY message_id"
        " SETTINGS json_type_escape_dots_in_keys = 1"
    )
    assert [row["properties"] for row in rows] == [json.loads(text) for text in sent]
    assert [(row["dotted"], row["nested"]) for row in rows] == [(1, None), (None, 2), (2, 1)]


def states(count: int) -> list[Person]:
    """Return the successive states of a person with *count* identifies."""
    person: Person | None = None
    seen = []
    for number in range(count):
        traits = b'{"step":%d,"gone":%s}' % (number, b"1" if number < count - 1 else b"null")
        person = fold(person, identify(f"i{number}", traits=traits, timestamp=f"2026-01-01T00:00:0{number}.000000Z"))
        seen.append(person)
    return seen


def test_persons_view_returns_the_current_state_without_merges(client: ClickHouse) -> None:
    other = fold(None, identify("o", user_id="other", traits=b'{"plan":"pro"}'))
    records = [SlimRecord(at, b"p/u", encode_person(person)) for at, person in enumerate([*states(5), other])]
    for record in records:
        put(client, PERSONS, person_rows([record], 1, 0)[0])

    assert client.query("SELECT count() AS n FROM person_states")[0]["n"] in ("6", 6)
    found = client.query("SELECT user_id, traits, first_seen, last_seen, version FROM persons ORDER BY user_id")
    assert [(row["user_id"], row["traits"], int(row["version"])) for row in found] == [
        ("other", {"plan": "pro"}, 5),
        ("u", {"step": 4}, 4),
    ]
    assert (found[1]["first_seen"], found[1]["last_seen"]) == (
        "2026-01-01 00:00:00.000000",
        "2026-01-01 00:00:04.000000",
    )


def test_highest_source_offset_is_read_from_the_projection(client: ClickHouse) -> None:
    for first in (0, 1_000):
        rows = item_rows(
            [event_read(at, track(f"m{at}"), source_offset=at) for at in range(first, first + 1_000)], 1, 0
        )
        put(client, EVENTS, rows.events)

    asked = "SELECT _partition, max(_origin) FROM events WHERE has([0, 1], _partition) GROUP BY _partition"
    plan = " ".join(row["explain"] for row in client.query(f"EXPLAIN {asked}"))
    assert "ReadFromMergeTree (positions)" in plan
    assert ClickHouseSink(client).positions(EVENTS, 1, [0, 1]) == {0: 1_999}


def examples() -> list[dict[str, Any]]:
    """Return each accepted item of the examples as its record has it, with a unique messageId."""
    return [
        {**accepted["item"], "messageId": f"{path.stem}-{accepted['index']}"}
        for path in sorted(EXAMPLES.glob("*.json"))
        for accepted in json.loads(path.read_text()).get("accepted", [])
    ]


def visible(value: Any) -> Any:
    """Return *value* as the JSON type stores it, without members that are null or an empty object."""
    if isinstance(value, dict):
        members = {name: visible(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in (None, {})}
    return [visible(element) for element in value] if isinstance(value, list) else value


def time_of(row_time: str | None) -> str | None:
    return None if row_time is None else f"{row_time.replace(' ', 'T')}Z"


def test_example_items_are_read_as_sent(client: ClickHouse) -> None:
    said = examples()
    records = [
        SlimRecord(at, value=json.dumps(item).encode(), headers=[("origin", b"%d" % at)])
        for at, item in enumerate(said)
    ]
    made = item_rows(records, 1, 0)
    assert made.rejected == []
    found: dict[int, dict[str, Any]] = {}
    for table, rows, values in ((EVENTS, made.events, "properties"), (IDENTIFIES, made.identifies, "traits")):
        for block in blocks(table, rows, 0, -1):
            put(client, table, block.rows)
        stored = client.query(f"SELECT * FROM {table.name} SETTINGS json_type_escape_dots_in_keys = 1")  # noqa: S608
        found |= {int(row["_origin"]): {**row, "values": row[values]} for row in stored}
    assert len(said) > 10
    for at, item in enumerate(said):
        row = found[at]
        assert (row["message_id"], row["user_id"]) == (item["messageId"], item["userId"])
        assert (row["project_id"], row.get("event")) == (item["projectId"], item.get("event"))
        assert row["anonymous_id"] == item.get("anonymousId")
        for column, name in (
            ("timestamp", "timestamp"),
            ("received_at", "receivedAt"),
            ("original_timestamp", "originalTimestamp"),
            ("sent_at", "sentAt"),
        ):
            assert time_of(row[column]) == item.get(name)
        assert json.loads(row["context"]) == item.get("context", {})
        assert json.loads(row["integrations"]) == item.get("integrations", {})
        assert row["_warnings"] == [{"sent": "", **warning} for warning in item.get("warnings", [])]
        assert row["_token"] == item.get("tokenId", "")
        assert row["values"] == visible(item.get("properties", item.get("traits", {})))
