"""Logins of projects on the embedded server: what they read, what they cannot reach, and how they begin and end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.operate.analysts import make_database
from tests.support import project_stack, services
from tests.support.clickhouse_escapes import FILE_READS, NETWORK_CALLS, SETTINGS, SETTINGS_IN_THE_URL, WRITES
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.project_escapes import ANSWERED, NAMES, READS, SECRET
from tests.support.project_stack import OTHER, OWN, Stack
from tests.support.records import track


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with project_stack.running(tmp_path_factory.mktemp("state")) as stack:
        yield stack


def test_login_reads_the_views_of_its_project(stack: Stack) -> None:
    assert stack.own.query("SELECT id, price, plan FROM order_completed") == "m1\t42.5\tpro"
    assert stack.own.query("SELECT count() FROM tracks") == "1"
    assert stack.own.query("SELECT plan FROM identifies") == "pro"
    assert stack.own.query("SELECT count() FROM users") == "0"
    assert stack.own.query("SELECT user_id, trait, value, valid_to FROM person_history") == "u\tplan\tpro\t\\N"
    assert stack.own.query("SHOW DATABASES") == stack.database(OWN)
    assert stack.own.query("SHOW TABLES").split() == [
        *("identifies", "order_completed", "person_history", "tracks", "users")
    ]
    assert stack.own.query(f"SELECT count() FROM {stack.database(OWN)}.tracks", database="default") == "1"  # noqa: S608
    assert stack.other.query("SELECT qqhidden FROM qqevent") == SECRET


def test_condition_of_a_login_reaches_the_identifies(stack: Stack) -> None:
    question = "SELECT value FROM person_history WHERE user_id = 'u' AND trait = 'plan'"
    assert stack.own.query(question) == "pro"
    plan = stack.own.query(f"EXPLAIN indexes = 1 {question}")
    assert "user_id in [\\'u\\', \\'u\\']" in plan


def test_login_reads_nothing_of_another_project(stack: Stack) -> None:
    assert stack.leaks(stack.own, [*READS, *NAMES]) == []
    for statement in {*READS} - {*ANSWERED}:
        reply = stack.own.send(stack.filled(statement), param_t="tracks", param_d=stack.database(OTHER))
        assert reply.code is not None, statement
    assert all(stack.own.send(statement).status == 200 for statement in map(stack.filled, ANSWERED))


def test_login_with_wider_rights_is_found_by_the_same_statements(stack: Stack) -> None:
    """The controls: the writer, and the login of the other project."""
    found = stack.leaks(ClickHouseHttp(stack.server.address), [*READS, *NAMES])
    assert len(found) >= 30
    assert {"SHOW DATABASES", "SHOW GRANTS FOR {role}", "SELECT * FROM merge('{other}', '.*')"} <= set(found)
    assert len(stack.leaks(stack.other, READS)) >= 12


def test_system_tables_name_no_other_project(stack: Stack) -> None:
    writer = ClickHouseHttp(stack.server.address)
    tables = writer.query("SELECT name FROM system.tables WHERE database = 'system' ORDER BY name").split()
    statements = [f"SELECT * FROM system.{name} LIMIT 9999 FORMAT JSONEachRow" for name in tables]  # noqa: S608
    for schema in ("information_schema", "INFORMATION_SCHEMA"):
        views = writer.query(f"SELECT name FROM system.tables WHERE database = '{schema}'").split()  # noqa: S608
        statements += [f"SELECT * FROM {schema}.{name}" for name in views]  # noqa: S608

    assert len(statements) > 100
    assert stack.leaks(stack.own, statements) == []
    known = [f"SELECT * FROM system.{name} FORMAT JSONEachRow" for name in ("databases", "tables", "columns")]  # noqa: S608
    assert stack.leaks(writer, known) == known, "the control"


def test_login_can_neither_write_nor_reach_files_or_servers(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "secret.json").write_text(f'{{"a":"{SECRET}"}}')
    for sql in [*FILE_READS, *NETWORK_CALLS, *WRITES, *SETTINGS]:
        statement = sql.replace("{d}", str(tmp_path)).replace("{u}", f"http://{stack.own.netloc}")
        reply = stack.own.send(statement, database="default", param_f="file", param_g="`file`")
        assert reply.code is not None, statement
        assert SECRET not in reply.text.replace(statement, "")
    for settings in SETTINGS_IN_THE_URL:
        values = {name: value.replace("{d}", str(tmp_path)) for name, value in settings.items()}
        assert replace(stack.own, settings=values).send("SELECT 1 AS a FORMAT Template").code in {115, 164, 452}
    reply = stack.own.send("m3\n", query="INSERT INTO tracks (id) FORMAT TSV")
    assert reply.code == 164
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.json", "secret.txt"]
    assert stack.own.query("SELECT count() FROM tracks") == "1"


def test_login_lowers_limits_and_never_raises_them(stack: Stack) -> None:
    for name, limit in {"max_execution_time": 300, "max_memory_usage": 4_000_000_000}.items():
        shown = f"SELECT getSetting('{name}')"
        assert stack.own.query(shown) == str(limit)
        assert stack.own.query(f"{shown} SETTINGS {name} = 200") == "200"
        for value in (0, limit + 1):
            assert stack.own.send(f"{shown} SETTINGS {name} = {value}").code == 452
            assert replace(stack.own, settings={name: str(value)}).send(shown).code == 452
    assert stack.own.query("SELECT getSetting('join_use_nulls')") == "true"
    assert stack.own.query("SELECT getSetting('join_use_nulls') SETTINGS join_use_nulls = 0") == "false"


def test_session_belongs_to_its_login(stack: Stack) -> None:
    again = stack.client("again", stack.logins.create("again", OWN))
    assert stack.own.query("SET max_threads = 3", session_id="s") == ""
    assert stack.own.query("SELECT getSetting('max_threads')", session_id="s") == "3"
    assert again.send("SELECT 1", session_id="s", session_check=1).code == 372


def test_other_database_and_missing_one_have_one_error(stack: Stack) -> None:
    texts = [
        stack.own.send("SELECT 1", database=name).text.replace(name, "X")
        for name in (stack.database(OTHER), "nobody", stack.warehouse.base)
    ]
    assert len(set(texts)) == 1
    assert "Code: 497" in texts[0]


def test_view_made_later_is_readable_at_once(stack: Stack) -> None:
    stack.warehouse.write(track("m4", event="Signed Up", properties=b'{"source":"ad"}', project_id=OWN))
    stack.warehouse.made()
    assert stack.own.query("SELECT id, source FROM signed_up") == "m4\tad"
    stack.warehouse.client.execute(f"DROP VIEW {stack.database(OWN)}.signed_up")


def test_view_of_an_older_version_is_made_again(stack: Stack) -> None:
    """An older view reads with the rights of whoever asks."""
    view = f"{stack.database(OWN)}.order_completed"
    select = stack.warehouse.client.query(
        "SELECT as_select FROM system.tables WHERE database = {d:String} AND name = 'order_completed'",
        {"d": stack.database(OWN)},
    )[0]["as_select"]
    stack.warehouse.client.execute(
        f"CREATE OR REPLACE VIEW {view} AS {select} COMMENT 'Made by Sequence events from the catalogue. Version 0'"
    )
    assert stack.own.send("SELECT id FROM order_completed").code == 497

    stack.warehouse.refresher.forget()
    assert "order_completed" in stack.warehouse.made()
    assert stack.own.query("SELECT id FROM order_completed") == "m1"


def test_login_begins_ends_and_changes_its_password_at_once(stack: Stack) -> None:
    old = stack.logins.create("ana", OWN)
    assert stack.client("ana", old).query("SELECT count() FROM order_completed") == "1"
    new = stack.logins.rotate("ana")
    assert stack.client("ana", old).send("SELECT 1").code == 516
    assert stack.client("ana", new).query("SELECT count() FROM order_completed") == "1"
    stack.logins.revoke("ana")
    assert stack.client("ana", new).send("SELECT 1").code == 516
    assert stack.client("ana", "").send("SELECT 1").code == 516


def test_commands_create_list_rotate_and_revoke_a_login(stack: Stack) -> None:
    created = stack.command("create", "eve", "--project", OWN)
    assert created.exit_code == 0, created.output
    password = created.stdout.strip()
    assert stack.client("eve", password).query("SELECT id FROM order_completed") == "m1"
    assert created.stderr.startswith(f"eve reads the database {stack.database(OWN)} at http://127.0.0.1:")
    assert "does not work yet" not in created.stderr

    assert f"eve        {OWN}       {stack.database(OWN)}" in stack.command("list").stdout
    listed = json.loads(stack.command("list", "--project", OWN, "--json").stdout)
    assert {"name": "eve", "project": OWN, "database": stack.database(OWN)} in listed
    assert {login["project"] for login in listed} == {OWN}
    assert "No logins. Create one" in stack.command("list", "--project", "nobody").stdout

    again = stack.command("create", "eve", "--project", OWN)
    assert (again.exit_code, again.stdout) == (2, "")
    rotated = stack.command("rotate", "eve").stdout.strip()
    assert stack.client("eve", password).send("SELECT 1").code == 516
    assert stack.client("eve", rotated).query("SELECT 1") == "1"
    assert stack.command("revoke", "eve").stdout == "Login eve revoked.\n"
    assert stack.client("eve", rotated).send("SELECT 1").code == 516


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("create", "eve"), 2, "Missing option '--project'"),
        (("create", "a b", "--project", OWN), 2, "is no name of a login"),
        (("create", "analyst", "--project", OWN), 2, "is a login of Sequence events itself"),
        # Only a project without events is looked for in Kafka, which does not run here.
        (("create", "eve", "--project", "nobody"), 1, "Kafka at 127.0.0.1:1 is unreachable"),
        (("rotate", "nobody"), 2, "nobody is no login of a project"),
        (("revoke", "analyst"), 2, "analyst is no login of a project"),
    ],
)
def test_command_that_cannot_be_carried_out_says_why(
    stack: Stack, arguments: tuple[str, ...], code: int, text: str
) -> None:
    refused = stack.command(*arguments)

    assert (refused.exit_code, refused.stdout) == (code, "")
    assert text in refused.stderr
    assert "eve" not in {login.name for login in stack.logins.all()}


def test_server_whose_users_are_in_a_file_is_named_with_the_remedy(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local stack, taken for a server."""
    settings = services.clickhouse_settings(stack.server.address)
    monkeypatch.setenv("SEQUENCE_CLICKHOUSE_URL", settings.url)
    monkeypatch.setenv("SEQUENCE_CLICKHOUSE_USERNAME", settings.username)
    monkeypatch.setenv("SEQUENCE_CLICKHOUSE_PASSWORD", settings.password)
    refused = stack.command("create", "eve", "--project", OWN)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "no statement can create one" in refused.stderr
    assert "SEQUENCE_CLICKHOUSE_URL names the local stack, unset it" in refused.stderr


def test_project_without_views_gets_a_login_that_reads_them_later(stack: Stack) -> None:
    make_database(stack.warehouse.client, "new")
    new = stack.client("new", stack.logins.create("new", "new"))
    assert stack.own.query("SELECT 1", session_id="gone") == "1"
    assert new.query("SHOW TABLES") == ""
    assert stack.own.send("SELECT 1", session_id="gone", session_check=1).code == 372, "the engine was opened anew"

    stack.warehouse.write(track("m5", project_id="new"))
    stack.warehouse.made()
    assert new.query("SELECT id FROM tracks") == "m5"
    # The views of a project that is deleted are gone, and its logins read nothing.
    stack.warehouse.client.execute(f"DROP DATABASE {stack.database('new')}")
    assert new.send("SELECT count() FROM tracks").code == 81


def test_logins_survive_a_restart_after_which_each_project_has_a_role(stack: Stack) -> None:
    stack.warehouse.write(track("m6", project_id="third"))
    stack.warehouse.made()
    stack.server.environ = {**stack.server.environ, "SEQUENCE_CLICKHOUSE_DATABASE": stack.warehouse.base}
    stack.server.kill()
    stack.server.start()
    assert stack.own.query("SELECT id FROM order_completed") == "m1"
    assert stack.own.send(f"SELECT count() FROM {stack.database(OTHER)}.tracks").code == 497  # noqa: S608

    assert stack.own.query("SELECT 1", session_id="kept") == "1"
    third = stack.client("third", stack.logins.create("third", "third"))
    assert third.query("SELECT id FROM tracks") == "m6"
    assert stack.own.query("SELECT 1", session_id="kept", session_check=1) == "1"


def test_damaged_file_of_logins_keeps_everybody_of_it_out(stack: Stack) -> None:
    file = stack.server.directory / "analysts.json"
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    try:
        file.write_text("[{}]")
        assert stack.own.send("SELECT 1").code == 516
        assert ClickHouseHttp(stack.server.address).query("SELECT 1") == "1"
    finally:
        file.write_text(text)
    assert stack.own.query("SELECT 1") == "1"
