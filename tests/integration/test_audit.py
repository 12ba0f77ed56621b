"""`sequence audit` on a real broker and the real engine: what is missing is found and written again, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from schemas.records import item_record
from schemas.settings import environment
from tests.support import logs
from tests.support.records import track
from tests.support.sink_pipeline import Pipeline
from tests.support.worker_process import Worker

KINDS = ["DELETE FROM {} WHERE {}", "ALTER TABLE {} DELETE WHERE {} SETTINGS mutations_sync = 2"]


def delete(pipeline: Pipeline, table: str, where: str, kind: str = KINDS[0]) -> None:
    """Delete rows; merges are stopped otherwise, and a mutation needs them."""
    name = f"{pipeline.clickhouse.database}.{table}"
    pipeline.execute(f"SYSTEM START MERGES {name}", kind.format(table, where), f"SYSTEM STOP MERGES {name}")


def sequence(pipeline: Pipeline, *arguments: str) -> Result:
    """Run a command with the settings of *pipeline*."""
    environ = {**environment(pipeline.kafka), **environment(pipeline.clickhouse)}
    return CliRunner().invoke(main, list(arguments), env=environ)


def audited(pipeline: Pipeline, *options: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and report of `sequence audit`."""
    result = sequence(pipeline, "audit", "--json", *options)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def total(report: dict[str, Any], name: str) -> int:
    return sum(int(table[name]) for table in report["tables"])


@pytest.fixture
def worker(pipeline: Pipeline, tmp_path: Path) -> Iterator[Worker]:
    """A sink that has written 400 events."""
    pipeline.send()
    with pipeline.worker(tmp_path) as started:
        started.until(pipeline.done, "all events are written")
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_hole_in_the_middle_is_refilled_once(pipeline: Pipeline, worker: Worker, kind: str) -> None:
    assert audited(pipeline)[0] == 0
    for table in ("events", "identifies"):
        delete(pipeline, table, "_origin BETWEEN 10 AND 40", kind)
    gone = 400 - len(pipeline.rows())
    assert gone == 4 * 31

    code, report = audited(pipeline)
    assert (code, report["missing"], total(report, "inLog"), total(report, "inTable")) == (1, gone, 400, 400 - gone)

    code, report = audited(pipeline, "--refill")
    assert (code, report["missing"], report["written"]) == (0, 0, gone)
    pipeline.check()
    code, report = audited(pipeline, "--refill")
    assert (code, report["written"], total(report, "repeated")) == (0, 0, 0)
    pipeline.send()
    worker.until(pipeline.done, "later events are written")
    pipeline.check()
    assert worker.exits == 0


def test_rows_that_were_removed_on_purpose_stay_removed(pipeline: Pipeline, worker: Worker) -> None:
    assert sequence(pipeline, "positions", "keep").exit_code == 0
    delete(pipeline, "events", "_origin BETWEEN 10 AND 40")
    gone = 400 - len(pipeline.rows())

    code, report = audited(pipeline, "--refill")
    assert (code, report["missing"], report["written"], total(report, "removed")) == (0, 0, 0, gone)

    code, report = audited(pipeline, "--refill", "--include-deleted")
    assert (code, report["written"]) == (0, gone)
    pipeline.check()
    assert worker.running


def test_figures_balance_while_the_sink_runs(pipeline: Pipeline, worker: Worker) -> None:
    for _ in range(5):
        pipeline.send()
        _, report = audited(pipeline)
        for table in report["tables"]:
            assert table["missing"] == table["unexpected"] == 0
            assert table["inLog"] == table["inTable"] + table["waiting"]
    worker.until(pipeline.done, "all events are written")
    _, report = audited(pipeline)
    assert (total(report, "inLog"), total(report, "waiting")) == (len(pipeline.items), 0)


def test_rows_of_no_record_and_repeated_rows_are_counted(pipeline: Pipeline, worker: Worker) -> None:
    columns = "project_id, event, user_id, timestamp, received_at, _log, _partition"
    for source_offset, message_id in (("_origin", "message_id"), ("toUInt64(0)", "'foreign'")):
        pipeline.execute(
            f"INSERT INTO events ({columns}, _origin, message_id) SELECT {columns}, {source_offset}, {message_id}"  # noqa: S608  # the test's own
            " FROM events WHERE _partition = 1 AND _origin > 0 ORDER BY _origin LIMIT 1",
        )
    code, report = audited(pipeline)
    is_event = any(_partition_and_offset(pipeline, "events", 0))

    assert worker.running
    # A row of no record is too much. A merge removes a repeated one.
    assert (code, report["missing"], total(report, "repeated")) == (1 - is_event, 0, 1 + is_event)
    assert total(report, "unexpected") == 1 - is_event


def test_equation_has_every_item_and_names_those_that_dedupe_lost(pipeline: Pipeline, worker: Worker) -> None:
    code, report = audited(pipeline)
    ledger = report["ledger"]
    assert (code, report["addsUp"], ledger["received"], ledger["unique"], ledger["waiting"]) == (0, True, 400, 400, 0)
    assert ledger["ofUnique"]["rows"] == {"events": 300, "identifies": 100}

    lost = [item_record(track(f"lost{number}")) for number in range(3)]
    logs.write(pipeline.kafka, pipeline.topics.items, lost)
    code, report = audited(pipeline)
    assert (code, report["ledger"]["waiting"]) == (0, 3)

    group, items = f"{pipeline.topics.prefix}-dedupe", pipeline.topics.items
    logs.commit(pipeline.kafka, group, items, logs.ends(pipeline.kafka, items))
    result = sequence(pipeline, "audit")
    assert worker.running
    assert result.exit_code == 1
    assert "accepted 403 = unique 400 + duplicates 0 + rejected by dedupe 0 + waiting 0 + missing 3" in result.output
    assert "neither on events.v1 nor on duplicates.v1" in result.output
    assert "The numbers do not add up." in result.output


def test_project_and_time_limit_what_is_counted(pipeline: Pipeline, worker: Worker) -> None:
    since = datetime.now(UTC)
    pipeline.send(40)
    worker.until(pipeline.done, "later events are written")
    delete(pipeline, "events", "message_id = 'm1'")

    for options, missing, received in (
        ([], 1, 440),
        (["--project", "p"], 1, 440),
        (["--project", "nobody"], 0, 0),
        (["--since", since.isoformat()], 0, 40),
        (["--since", "1h", "--project", "p"], 1, 440),
    ):
        code, report = audited(pipeline, *options)
        assert (code, report["missing"], report["ledger"]["received"]) == (int(missing > 0), missing, received), options
        assert total(report, "inLog") == received, options
    assert audited(pipeline, "--since", since.isoformat(), "--refill")[1]["written"] == 0
    assert audited(pipeline, "--project", "p", "--refill")[1]["written"] == 1
    pipeline.check()


def _partition_and_offset(pipeline: Pipeline, table: str, source_offset: int) -> list[str]:
    """Return the messages of partition 1 with *source_offset*, but for the row of the test."""
    rows = pipeline.query(
        f"SELECT message_id FROM {table} WHERE _partition = 1 AND _origin = {source_offset}"  # noqa: S608  # the test's own
        " AND message_id != 'foreign'"
    )
    return [str(row["message_id"]) for row in rows]
