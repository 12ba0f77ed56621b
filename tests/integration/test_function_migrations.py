"""SQL functions of the migration files: they belong to the server, and those of somebody else are never replaced."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.local import stack
from processors.clickhouse import functions as functions_module
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import FunctionError
from processors.clickhouse.migrate import Migration, migrate, pending, read_migrations
from schemas.settings import ClickHouseSettings, environment
from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp

NAMES = {"num", "str", "bool", "at"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    """A server of its own: its functions are changed."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        yield service


@pytest.fixture
def settings(server: services.Service) -> ClickHouseSettings:
    return services.clickhouse_settings(server.address, f"test_{secrets.token_hex(4)}")


@pytest.fixture
def client(server: services.Service) -> ClickHouseHttp:
    return ClickHouseHttp(server.address)


@pytest.fixture
def name() -> str:
    return f"f_{secrets.token_hex(4)}"


def file(number: int, name: str, body: str) -> Migration:
    return Migration(f"{number:04}.sql", f"-- A function.\nCREATE FUNCTION IF NOT EXISTS {name} AS {body};\n")


def functions(client: ClickHouseHttp) -> set[str]:
    return set(client.query("SELECT name FROM system.functions WHERE origin = 'SQLUserDefined'").split())


def test_migration_creates_the_functions(settings: ClickHouseSettings, client: ClickHouseHttp) -> None:
    migrate(settings)

    assert functions(client) >= NAMES
    assert client.query("SELECT num('12.5'), str(1), bool('true'), at('2026-01-02')") == (
        "12.5\t1\ttrue\t2026-01-02 00:00:00.000000"
    )


def test_dropped_function_is_created_again_with_nothing_to_apply(
    settings: ClickHouseSettings, client: ClickHouseHttp
) -> None:
    migrate(settings)
    client.query("DROP FUNCTION num")

    assert migrate(settings) == []
    assert client.query("SELECT num('7')") == "7"


def test_database_dropped_or_restored_elsewhere_gets_the_functions(
    settings: ClickHouseSettings, client: ClickHouseHttp
) -> None:
    migrate(settings)
    client.query(f"DROP DATABASE {settings.database}")
    assert functions(client) >= NAMES

    # A restored database has the record of the migrations, and its new server has no functions.
    migrate(settings)
    for function in NAMES:
        client.query(f"DROP FUNCTION {function}")
    assert pending(settings) == []
    migrate(settings)
    assert functions(client) >= NAMES


def test_another_function_of_the_name_is_refused_and_stays(
    settings: ClickHouseSettings, client: ClickHouseHttp, name: str
) -> None:
    client.query(f"CREATE FUNCTION {name} AS (a, b) -> a + b")
    files = [
        file(1, name, "x -> x + 1"),
        file(2, f"{name}_other", "x -> x"),
        Migration("0003.sql", "CREATE TABLE IF NOT EXISTS t (x String) ENGINE = MergeTree ORDER BY x;\n"),
    ]
    for _ in range(2):
        with pytest.raises(FunctionError, match=rf"another function {name}: CREATE FUNCTION {name} AS \(a, b\) ->"):
            migrate(settings, files)
    assert client.query(f"SELECT {name}(1, 2)") == "3"
    # Its neighbour and the tables of later files exist: the sink can run.
    assert client.query(f"SELECT {name}_other(5), count() FROM {settings.database}.t") == "5\t0"  # noqa: S608

    client.query(f"DROP FUNCTION {name}")
    assert migrate(settings, files) == []
    assert client.query(f"SELECT {name}(1)") == "2"


def test_same_function_of_a_second_pipeline_on_the_server_is_accepted(
    settings: ClickHouseSettings, client: ClickHouseHttp, name: str
) -> None:
    client.query(f"CREATE FUNCTION {name} AS x -> multiIf(x   BETWEEN 1 AND 2, 'a', NULL)")

    migrate(settings, [file(1, name, "x -> multiIf(\n    x BETWEEN 1 AND 2, 'a',\n    NULL)")])


def test_body_of_an_older_file_is_replaced(settings: ClickHouseSettings, client: ClickHouseHttp, name: str) -> None:
    old, new = file(1, name, "x -> x + 1"), file(2, name, "x -> x + 2")
    migrate(settings, [old])
    assert client.query(f"SELECT {name}(1)") == "2"

    migrate(settings, [old, new])
    assert client.query(f"SELECT {name}(1)") == "3"
    migrate(settings, [old, new])
    assert client.query(f"SELECT {name}(1)") == "3"


def test_name_of_a_built_in_function_is_refused(settings: ClickHouseSettings) -> None:
    with pytest.raises(FunctionError, match="ClickHouse has a function length of its own"):
        migrate(settings, [file(1, "length", "x -> x")])


def test_command_names_the_function_and_ends_with_an_error(
    settings: ClickHouseSettings, client: ClickHouseHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(settings).items():
        monkeypatch.setenv(variable, value)
    client.query("CREATE OR REPLACE FUNCTION num AS x -> 5")
    try:
        result = CliRunner().invoke(main, ["tables", "migrate"])
        assert result.exit_code == 1
        assert "ClickHouse has another function num: CREATE FUNCTION num AS x -> 5." in result.output
        assert "run `sequence tables migrate` again" in result.output
    finally:
        client.query("DROP FUNCTION num")
    assert CliRunner().invoke(main, ["tables", "migrate"]).exit_code == 0


def test_local_stack_starts_with_another_function_and_says_so(
    settings: ClickHouseSettings, client: ClickHouseHttp, capsys: pytest.CaptureFixture[str]
) -> None:
    client.query("CREATE OR REPLACE FUNCTION num AS x -> 5")
    try:
        assert stack._migrate(settings) is None
        assert "ClickHouse has another function num" in capsys.readouterr().out
        assert pending(settings) == []
    finally:
        client.query("DROP FUNCTION num")
    assert stack._migrate(settings) is None
    assert capsys.readouterr().out == ""


def test_user_who_may_not_create_functions_is_told_which_one(
    settings: ClickHouseSettings, client: ClickHouseHttp, name: str
) -> None:
    reader = ClickHouse(
        replace(settings, url=f"http://{client.netloc}", username="analyst", password=services.ANALYST_PASSWORD),
        database="default",
    )
    with pytest.raises(FunctionError, match=f"The function {name} cannot be created: .*[Cc]annot execute query"):
        functions_module.ensure(reader, file(1, name, "x -> x").statements)
    reader.close()


def test_analyst_uses_functions_without_a_grant_and_changes_none(
    settings: ClickHouseSettings, client: ClickHouseHttp
) -> None:
    migrate(settings)
    analyst = ClickHouseHttp(f"http://{client.netloc}", "analyst", services.ANALYST_PASSWORD)

    assert analyst.query("SELECT num('7')") == "7"
    for statement in ("DROP FUNCTION num", "CREATE FUNCTION f AS x -> 1", "CREATE OR REPLACE FUNCTION num AS x -> 1"):
        assert analyst.send(statement).code in {164, 497}
    assert analyst.query("SELECT num('7')") == "7"


def test_function_is_written_into_a_view_that_uses_it(settings: ClickHouseSettings, client: ClickHouseHttp) -> None:
    """So a view of the owner returns the same after a function was dropped."""
    migrate(settings)
    client.query(f"CREATE VIEW {settings.database}.v AS SELECT num('7') AS seven")
    client.query("DROP FUNCTION num")

    assert client.query(f"SELECT seven FROM {settings.database}.v") == "7"  # noqa: S608
    migrate(settings)


def test_functions_are_kept_over_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    service = services.embedded_clickhouse(tmp_path_factory.mktemp("restart"))
    with services.running(service):
        migrate(services.clickhouse_settings(service.address, "kept"))
    with services.running(service):
        reader = ClickHouse(services.clickhouse_settings(service.address, "kept"))
        assert reader.query("SELECT num('7') AS seven") == [{"seven": 7}]
        reader.close()


def test_every_function_of_the_files_is_one_of_the_four() -> None:
    created = [statement for file in read_migrations() for statement in file.statements if "FUNCTION" in statement]

    assert {statement.split()[5] for statement in created} == NAMES
