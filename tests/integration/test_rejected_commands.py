"""`sequence rejected` on the real engine, as the login `analyst`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import msgspec
import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from processors.sink.insert import ClickHouseSink
from processors.sink.rejected import rejection_rows
from processors.sink.rows import Block
from schemas.clickhouse import REJECTED
from schemas.items import Rejection
from schemas.records import rejection_record
from tests.contracts.sinks import valid_lease
from tests.support import services
from tests.support.records import SlimRecord

GATEWAY = Rejection("dev", "gateway", "event_required", "`event` is required.", "", "event", None, "request-1")
WORKER = Rejection("dev", "persons", "person_too_large", "Too large.", "", None, "m", None, None, "items.v1", 5, 40)
ROW = msgspec.structs.replace(WORKER, stage="sink", code="row_rejected", field="timestamp", table="events")


def records() -> Iterator[SlimRecord]:
    """Yield rejections: two of one item, and one an hour for three others."""
    contents = [
        (GATEWAY, b'{"type":"track","userId":"ada","event":7}'),
        (GATEWAY, b'{"type":"track","userId":"it\'s","event":null}'),
        (WORKER, b'{"type":"identify","messageId":"m","userId":"ada","receivedAt":"2026-01-01T00:00:00Z"}'),
        (WORKER, b'{"type":"identify","messageId":"m","userId":"ada","receivedAt":"2026-01-01T00:00:00Z"}'),
        (msgspec.structs.replace(ROW, project_id="shop"), b'{"timestamp":"never","user_id":"bob"}'),
    ]
    for offset, (rejection, content) in enumerate(contents):
        dated = msgspec.structs.replace(rejection, rejected_at=f"2026-01-01T0{offset}:00:00.000000Z")
        record = rejection_record(dated, content)
        yield SlimRecord(offset, record.key, record.value, 0)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the rejections."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        settings = services.clickhouse_settings(server.address)
        migrate(settings)
        client = ClickHouse(settings)
        ClickHouseSink(client).insert([Block(REJECTED, 0, rejection_rows(records(), 1, 0))], valid_lease)
        client.close()
        yield server.address


@pytest.fixture
def environ(address: str) -> dict[str, str]:
    return {"SEQUENCE_CLICKHOUSE_URL": address, "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": services.ANALYST_PASSWORD}


def run(environ: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, ["rejected", *arguments], env=environ)


def test_groups_count_an_item_once_and_name_the_command_that_shows_it(environ: dict[str, str]) -> None:
    result = run(environ, "list", "--json")
    groups = json.loads(result.stdout)

    assert [(group["code"], group["table"], group["field"], group["items"]) for group in groups] == [
        ("event_required", None, "event", 2),
        ("row_rejected", "events", "timestamp", 1),
        ("person_too_large", None, None, 1),
    ]
    assert groups[1]["example"]["value"] == '"never"'
    for group in groups:
        shown = json.loads(run(environ, *shlex.split(group["show"])[2:], "--json").stdout)
        assert len(shown) == group["items"]
        assert {item["code"] for item in shown} == {group["code"]}


def test_table_of_groups_ends_with_the_commands_about_the_first(environ: dict[str, str]) -> None:
    lines = run(environ, "list").stdout.splitlines()

    assert lines[0].split() == ["ITEMS", "PROJECT", "STAGE", "CODE", "FIELD", "REPLAYED", "LAST", "EXAMPLE"]
    assert lines[1].split()[:6] == ["2", "dev", "gateway", "event_required", "event", "0"]
    where = """--project dev --code event_required --where "stage = 'gateway' AND field = 'event'\""""
    assert lines[-3] == f"  sequence rejected show {where}"
    assert lines[-1] == f"  sequence rejected replay {where} --set . --dry-run"


@pytest.mark.parametrize(
    ("options", "offsets"),
    [
        ([], [4, 3, 1, 0]),
        (["--project", "shop"], [4]),
        (["--code", "event_required"], [1, 0]),
        (["--since", "2026-01-01T01:00:00Z"], [4, 3, 1]),
        (["--since", "1h"], []),
        (["--where", "user_id = 'it\\'s'"], [1]),
        (["--where", "content LIKE '%never%' -- a comment"], [4]),
        (["--where", "code = 'event_required' OR code = 'row_rejected'", "--project", "dev"], [1, 0]),
        (["--limit", "1"], [4]),
    ],
)
def test_options_select_items(environ: dict[str, str], options: list[str], offsets: list[int]) -> None:
    items = json.loads(run(environ, "show", "--json", *options).stdout)

    assert [item["offset"] for item in items] == offsets


def test_item_is_shown_with_reason_source_and_content(environ: dict[str, str]) -> None:
    output = run(environ, "show", "--project", "shop").output

    assert output.startswith("2026-01-01 04:00:00.000 UTC sink: row_rejected, field timestamp\n  Too large.\n")
    assert "\n  Source   items.v1, partition 5, offset 40\n" in output
    assert '\n  Content  {"timestamp":"never","user_id":"bob"}\n' in output
    assert "Older items: 3. Add `--limit 4`" in run(environ, "show", "--limit", "1").output


def test_nothing_selected_is_said(environ: dict[str, str]) -> None:
    assert run(environ, "list", "--code", "none").output == "Nothing was rejected with --code none.\n"
    assert run(environ, "show", "--code", "none", "--json").output == "[]\n"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("code = ", "Syntax error"),
        ("colour = 'x'", "Unknown expression or function identifier `colour`."),
        ("code = 'x') OR (1", "Syntax error"),
        ("1 LIMIT 1", "Syntax error"),
        ("code = {x:String}", "Substitution `x` is not set"),
        ("1; DROP TABLE rejected", "Syntax error"),
        ("code", "Invalid type for filter in WHERE"),
        ("file('/etc/passwd') != ''", "privileges"),
    ],
)
def test_condition_that_is_not_valid_is_explained(environ: dict[str, str], where: str, message: str) -> None:
    result = run(environ, "list", "--where", where)

    assert result.exit_code == 2
    assert message in result.output, result.output
    assert "these columns: project_id, stage, code" in result.output
    assert "SELECT" not in result.output


def test_server_that_does_not_answer_is_named(environ: dict[str, str]) -> None:
    gone = environ | {"SEQUENCE_CLICKHOUSE_URL": f"http://127.0.0.1:{services.free_port()}"}
    result = run(gone, "list")

    assert result.exit_code == 1, result.output
    assert "is unreachable: Connection refused. Check SEQUENCE_CLICKHOUSE_URL" in result.output


def test_replay_is_tried_page_by_page_without_a_token(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.operate.rejected.PAGE_ITEMS", 2)
    result = run(environ, "replay", "--dry-run", "--continue", "--set", '.event = "e" | .userId //= "u"', "--json")
    report = json.loads(result.stdout)

    assert (report["read"], report["status"], report["rejected"]) == (4, "dry run", [])
    result = run(environ, "replay", "--dry-run", "--limit", "3", "--set", "select(.type == 1)")
    assert "3 of 4 items read: 0 would be sent, 0 rejected again, 3 left out by the program" in result.output
    assert "Add --limit 4 for all of them." in result.output


def test_tried_replay_shows_what_would_be_rejected_again(environ: dict[str, str]) -> None:
    result = run(environ, "replay", "--dry-run", "--code", "event_required", "--set", ".event = 7")

    assert result.exit_code == 1
    assert "1 of 2 items read: 0 would be sent, 1 rejected again" in result.output
    assert "Items: 1, the first at partition 0, offset 0 of rejected.v1." in result.output
    assert "Stopped. Correct the program" in result.output


REPLAYED_IDS = {"rejected:1-0-0": "dev", "replayed:m": "dev", "rejected:1-0-1": "shop", "m": "dev"}
"""What a replay sends of the first item and of the worker's; then an item of another project, and one sent before."""


@pytest.fixture
def sent(address: str) -> Iterator[ClickHouse]:
    """Rows with the IDs of replayed items, received at 10:00 on 2026-01-02."""
    client = ClickHouse(services.clickhouse_settings(address))
    for number, (message_id, project) in enumerate(REPLAYED_IDS.items()):
        client.execute(
            "INSERT INTO identifies (project_id, user_id, message_id, received_at, timestamp, _log, _origin)"  # noqa: S608
            f" VALUES ('{project}', 'u', '{message_id}', '2026-01-02 10:00:00', '2026-01-02 10:00:00', 1, {number})"
        )
    yield client
    for table in ("identifies", "replays"):
        client.execute(f"TRUNCATE TABLE {table}")
    client.close()


def replay_at(client: ClickHouse, started_at: str, ended_at: str) -> None:
    """Write the row of a replay."""
    row = {"id": started_at, "project_id": "dev", "started_at": started_at, "ended_at": ended_at, "_version": 2}
    client.execute("INSERT INTO replays FORMAT JSONEachRow", msgspec.json.encode(row))


def counted(environ: dict[str, str], *options: str) -> dict[str, tuple[int, int]]:
    groups = json.loads(run(environ, "list", "--json", *options).stdout)
    return {group["code"]: (group["items"], group["replayed"]) for group in groups}


def test_replayed_items_are_counted_and_can_be_left_out(environ: dict[str, str], sent: ClickHouse) -> None:
    replay_at(sent, "2026-01-02 09:59:58.000", "2026-01-02 10:00:03.000")

    assert counted(environ) == {"event_required": (2, 1), "row_rejected": (1, 0), "person_too_large": (1, 1)}
    assert counted(environ, "--not-replayed") == {"event_required": (1, 0), "row_rejected": (1, 0)}
    items = json.loads(run(environ, "show", "--json", "--project", "dev").stdout)
    assert [(item["offset"], item["replayedAt"]) for item in items] == [
        (3, "2026-01-02T10:00:00.000000Z"),
        (1, None),
        (0, "2026-01-02T10:00:00.000000Z"),
    ]
    nothing = run(environ, "list", "--not-replayed", "--code", "person_too_large").output
    assert nothing == "No rejected item is left with --code person_too_large --not-replayed.\n"
    tried = run(environ, "replay", "--not-replayed", "--project", "dev", "--set", '.event = "E"', "--dry-run").output
    assert "1 of 1 items read: 1 would be sent" in tried


def test_item_that_was_received_outside_of_a_replay_is_not_replayed(environ: dict[str, str], sent: ClickHouse) -> None:
    replay_at(sent, "2026-01-02 10:05:00.000", "2026-01-02 10:05:10.000")

    assert {replayed for _, replayed in counted(environ).values()} == {0}
