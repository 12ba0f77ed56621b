"""`sequence catalog` on the real engine, and the view `catalog` as the login `analyst`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import ClickHouseCatalog
from tests.contracts.catalogs import write_events
from tests.contracts.sinks import valid_lease
from tests.support import services
from tests.support.catalog_model import Row

BOUGHT = [
    Row(0, at, "Order Completed", {"plan": "pro", "price": "19,50" if at % 40 == 0 else 19.5}, project="dev")
    for at in range(80)
]
OTHERS = [Row(0, 80, "Page\x1b[31m", {}, project="shop"), Row(0, 81, "Order Completed", {"a": None}, project="shop")]


def count(client: ClickHouse) -> None:
    """Count every row, as the sink does."""
    for source in SOURCES:
        counter = Counter(source, ClickHouseCatalog(client), valid_lease)
        while (lag := counter.look()).ranges:
            counter.count(lag)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with events that are counted, and one that is not."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        settings = services.clickhouse_settings(server.address)
        migrate(settings)
        client = ClickHouse(settings)
        write_events(client, [*BOUGHT, *OTHERS])
        count(client)
        write_events(client, [Row(1, 0, "New", {}, project="dev")])
        client.close()
        yield server.address


@pytest.fixture
def environ(address: str) -> dict[str, str]:
    settings = services.clickhouse_settings(address)
    return {
        "SEQUENCE_CLICKHOUSE_URL": settings.url,
        "SEQUENCE_CLICKHOUSE_USERNAME": settings.username,
        "SEQUENCE_CLICKHOUSE_PASSWORD": settings.password,
    }


def run(environ: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["catalog", *arguments], env=environ)


def test_events_of_all_projects_are_listed_with_their_conflicts(environ: dict[str, str]) -> None:
    done = run(environ)
    lines = [line.split() for line in done.stdout.splitlines()]

    assert done.exit_code == 0
    assert lines[1] == ["dev", "Order", "Completed", "80", "2", "2026-01-01", "2026-01-01", "price"]
    assert [line[0] for line in lines] == ["PROJECT", "dev", "shop", "shop"]
    assert done.stderr == "Source offsets that are not counted yet: 1.\n"
    assert "\x1b" not in done.stdout


def test_properties_of_an_event_are_listed_with_shares(environ: dict[str, str]) -> None:
    done = run(environ, "--event", "Order Completed", "--project", "dev")

    assert done.stdout.splitlines() == [
        "Order Completed, project dev: 80 rows, 2026-01-01 to 2026-01-01",
        "",
        "PATH   COUNT  OF ALL  TYPES",
        "plan   80     100 %   text",
        "price  80     100 %   float 97.5 %, text 2.5 %  ← conflict",
    ]


def test_catalogue_is_printed_as_json(environ: dict[str, str]) -> None:
    listed = json.loads(run(environ, "--json").stdout)
    [bought] = json.loads(run(environ, "--json", "--event", "Order Completed", "--project", "dev").stdout)

    assert [each["projectId"] for each in listed] == ["dev", "shop", "shop"]
    assert bought["conflicts"] == ["price"]
    assert [path["path"] for path in bought.pop("properties")] == ["plan", "price"]
    assert bought == listed[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--event", "order completed"], "No event 'order completed' has been counted. Names are case-sensitive"),
        (["--project", "other"], "The catalogue has no events of project other."),
        (["--traits"], "The catalogue has no traits."),
        (["--traits", "--event", "a"], "--event and --traits exclude each other"),
    ],
)
def test_what_does_not_exist_is_said(environ: dict[str, str], arguments: list[str], told: str) -> None:
    done = run(environ, *arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_analyst_reads_the_catalogue(address: str) -> None:
    settings = services.clickhouse_settings(address)
    client = ClickHouse(replace(settings, username="analyst", password=services.ANALYST_PASSWORD))
    rows = client.query("SELECT path, type, count FROM catalog WHERE project_id = 'shop' AND type != ''")
    client.close()

    assert [(row["path"], row["type"], int(row["count"])) for row in rows] == [("a", "null", 1)]


def test_rebuild_asks_and_counts_everything_again(environ: dict[str, str], address: str) -> None:
    before = run(environ, "--json").stdout
    assert run(environ, "rebuild").exit_code == 1
    assert run(environ, "--json").stdout == before
    done = run(environ, "rebuild", "--yes")
    assert (done.exit_code, "The sink counts 83 source offsets" in done.stdout) == (0, True)
    assert run(environ).stdout == "The catalogue is empty: no row has been counted.\n"
    client = ClickHouse(services.clickhouse_settings(address))
    count(client)
    client.close()

    assert [each["event"] for each in json.loads(run(environ, "--json").stdout)][:2] == ["Order Completed", "New"]
