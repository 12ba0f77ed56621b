"""The form of statements on a cluster: the same text, but for the engine, ON CLUSTER and the name of one setting."""

from __future__ import annotations

import re

import pytest

from processors.clickhouse import access, cluster, functions, migrate, partition_key
from processors.clickhouse.errors import MigrationError
from processors.typed_views.statements import MARK, create_view
from schemas.clickhouse.replicated import KEEPER_PATH, REPLICA, cluster_settings, replicated
from schemas.settings import ClickHouseSettings, SettingsError, load

ON_CLUSTER = " ON CLUSTER `main`"
ARGUMENTS = f"'{KEEPER_PATH}', '{REPLICA}'"
STATEMENTS = [statement for migration in migrate.read_migrations() for statement in migration.statements]
OF_THE_CODE = [
    "CREATE DATABASE IF NOT EXISTS sequence",
    "CREATE DATABASE IF NOT EXISTS `sequence_a\\`b`",
    create_view("sequence_dev", "order` completed", "SELECT 1 AS a", MARK, [("a", "UInt8", "(it's)")]),
    *access.statements(ClickHouseSettings(), "password"),
    *access.create_project_login("sequence", "ada", "dev", "sequence_dev", "password"),
    access.set_password("ada", "password"),
    "DROP USER IF EXISTS `ada`",
]


def plain(statement: str) -> str:
    """Return the statement of one server from which *statement* was derived."""
    one = statement.replace(ON_CLUSTER, "", 1)
    one = one.replace("ENGINE = Replicated", "ENGINE = ", 1)
    one = one.replace(f"({ARGUMENTS})", "", 1).replace(f"({ARGUMENTS}, ", "(", 1)
    return one.replace(" replicated_deduplication_window", " non_replicated_deduplication_window", 1)


@pytest.mark.parametrize("statement", [*STATEMENTS, *OF_THE_CODE], ids=lambda statement: statement[:40])
def test_form_on_a_cluster_differs_in_engine_and_on_cluster_alone(statement: str) -> None:
    derived = replicated(statement, "main")

    assert derived.count("ON CLUSTER") == 1
    assert plain(derived) == statement


@pytest.mark.parametrize("statement", [*STATEMENTS, *OF_THE_CODE], ids=lambda statement: statement[:40])
def test_statement_for_one_server_stays_as_it_is(statement: str) -> None:
    assert replicated(statement, "") is statement


def test_every_table_of_the_files_is_replicated() -> None:
    tables = [statement for statement in STATEMENTS if statement.startswith("CREATE TABLE")]
    engines = [
        re.findall(r"^ENGINE = (\w+)\(('[^']*', '[^']*')", replicated(each, "main"), re.MULTILINE) for each in tables
    ]

    assert len(tables) > 10
    assert {places for [(_, places)] in engines} == {ARGUMENTS}
    assert all(engine.startswith("Replicated") and engine.endswith("MergeTree") for [(engine, _)] in engines)
    assert not any("non_replicated" in replicated(each, "main") for each in tables)


def test_engine_that_is_replicated_already_keeps_its_path() -> None:
    live = "CREATE TABLE IF NOT EXISTS shop.a (`x` UInt8) ENGINE = ReplicatedMergeTree('/p', '{replica}') ORDER BY x"

    assert replicated(live, "main") == live.replace("shop.a", "shop.a ON CLUSTER `main`", 1)


@pytest.mark.parametrize(
    "statement",
    ["RENAME TABLE a TO b", "EXCHANGE TABLES a AND b", "CREATE DICTIONARY d (x UInt8)", "SYSTEM STOP MERGES"],
)
def test_ddl_without_a_known_form_is_an_error_on_a_cluster(statement: str) -> None:
    with pytest.raises(ValueError, match="is not known"):
        replicated(statement, "main")


@pytest.mark.parametrize("statement", ["INSERT INTO a SELECT 1", "SELECT 1", "DELETE FROM a WHERE 1"])
def test_statement_about_rows_is_not_changed(statement: str) -> None:
    assert replicated(statement, "main") == statement


def test_tables_get_the_last_partition_key_at_their_creation() -> None:
    keys = {new.table: new.key for each in STATEMENTS if (new := partition_key.new_key_of(each)) is not None}
    created = [cluster.with_final_key(each, keys) for each in STATEMENTS if each.startswith("CREATE TABLE")]

    found = {
        re.findall(r"EXISTS (\w+)", each)[0]: re.findall(r"^PARTITION BY (.+)$", each, re.MULTILINE) for each in created
    }
    assert keys
    assert {table: found[table] for table in keys} == {table: [key] for table, key in keys.items()}
    unchanged = [each for each in STATEMENTS if each.startswith("CREATE TABLE")]
    assert sum(a != b for a, b in zip(created, unchanged, strict=True)) == len(keys)


def test_copies_for_an_added_replica_create_the_database_first() -> None:
    live = "CREATE TABLE shop.a (`x` UInt8) ENGINE = ReplicatedMergeTree('/p/shop/a', '{replica}') ORDER BY x"
    view = "CREATE VIEW shop.b (`x` UInt8) AS SELECT x FROM shop.a"

    assert cluster.copies([("shop", "a", live), ("shop", "b", view)]) == [
        "CREATE DATABASE IF NOT EXISTS `shop`",
        live.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"),
        view.replace("CREATE VIEW", "CREATE VIEW IF NOT EXISTS"),
    ]


def test_typed_views_are_known_by_their_comment() -> None:
    assert MARK.startswith(cluster.TYPED_VIEW)


@pytest.mark.parametrize(
    ("engine", "name", "expected"),
    [
        ("MergeTree", "main", "are not replicated"),
        ("ReplicatedMergeTree", "", "Set SEQUENCE_CLICKHOUSE_CLUSTER"),
    ],
)
def test_tables_of_the_other_kind_are_refused(engine: str, name: str, expected: str) -> None:
    with pytest.raises(MigrationError, match=expected):
        cluster.check_kind(engine, name, "sequence")


@pytest.mark.parametrize(
    ("engine", "name"),
    [("", ""), ("", "main"), ("MergeTree", ""), ("SharedMergeTree", ""), ("ReplicatedMergeTree", "main")],
)
def test_tables_of_the_right_kind_are_taken(engine: str, name: str) -> None:
    cluster.check_kind(engine, name, "sequence")


def test_every_statement_on_a_cluster_waits_for_most_replicas() -> None:
    settings = cluster_settings(8)

    expected = {
        "insert_quorum": "auto",
        "insert_quorum_parallel": 0,
        "select_sequential_consistency": 1,
        "async_insert": 0,
    }
    assert {name: settings[name] for name in expected} == expected
    assert settings["insert_quorum_timeout"] < 8_000
    assert settings["distributed_ddl_task_timeout"] < 8


@pytest.mark.parametrize("name", ["main", "main-2.eu", "a_1"])
def test_cluster_has_a_name(name: str) -> None:
    assert load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_CLUSTER": name}).cluster == name


@pytest.mark.parametrize("name", ["a b", "x`y", "{cluster}", "-a"])
def test_other_text_is_no_name_of_a_cluster(name: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_CLICKHOUSE_CLUSTER: must be"):
        load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_CLUSTER": name})


def test_functions_are_known_in_the_form_of_one_server() -> None:
    assert sum(functions.name_of(statement) is not None for statement in STATEMENTS) == 4
