"""`sequence positions` on a real broker and the real engine: rows removed on purpose and accepted losses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from deploy.operate import offsets
from schemas.records import Record, encode_item, item_key
from tests.integration.test_audit import KINDS, audited, delete, sequence, total
from tests.support import logs
from tests.support.records import track
from tests.support.services import eventually
from tests.support.sink_pipeline import Pipeline
from tests.support.worker_process import Worker

ADVICE = re.compile(r"`(sequence positions [^`]*)`")
DROP = "DROP PARTITION"


def shown(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return what `sequence positions show` prints."""
    result = sequence(pipeline, "positions", "show", "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def remove(pipeline: Pipeline, kind: str, where: str) -> None:
    """Remove rows of `events` and `identifies` in the manner *kind*; whole partitions with `DROP`."""
    for table in ("events", "identifies"):
        if kind == DROP:
            pipeline.execute(f"ALTER TABLE {table} DROP PARTITION ALL")
        else:
            delete(pipeline, table, where, kind)


def test_positions_are_shown_with_the_offsets_of_their_topic(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")

    found = shown(pipeline)
    events = [each for each in found if each["table"] == "events"]
    assert [each["partition"] for each in events] == [0, 1, 2, 3]
    assert sum(each["logEnd"] for each in events) == 400
    assert all((each["lag"], each["committed"] == each["logEnd"]) == (0, True) for each in events)
    assert all(each["position"] == each["rowPosition"] and each["notedPosition"] is None for each in events)
    assert all(each["committedPosition"] == each["position"] for each in events)
    assert "LOG END" in sequence(pipeline, "positions", "show").output


@pytest.mark.parametrize("kind", [*KINDS, DROP])
def test_rows_removed_after_keep_are_not_written_again(pipeline: Pipeline, tmp_path: Path, kind: str) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
        assert pipeline.catalogued() == 300
        assert sequence(pipeline, "positions", "keep").exit_code == 0
        remove(pipeline, kind, "_origin >= 50")
        left = pipeline.rows()
        assert len(left) == (0 if kind == DROP else 200)
        pipeline.send(40)
        worker.until(pipeline.done, "later events are written")
        assert len(pipeline.rows()) == len(left) + 40
        assert worker.exits == 0
    with pipeline.worker(tmp_path / "restarted") as worker:
        pipeline.send(40)
        worker.until(pipeline.done, "still later events are written")
        assert worker.exits == 0
    assert len(pipeline.rows()) == len(left) + 80 == len(set(pipeline.rows()))
    # What was counted before it was removed stays in the catalogue.
    assert pipeline.catalogued() == 300 + 60
    code, report = audited(pipeline, "--refill")
    assert (code, report["written"], total(report, "removed")) == (0, 0, 400 - len(left))


@pytest.mark.parametrize("kind", [*KINDS, DROP])
def test_newest_rows_removed_without_keep_come_back_with_a_line(pipeline: Pipeline, tmp_path: Path, kind: str) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
    assert pipeline.catalogued() == 300
    remove(pipeline, kind, "_origin >= 50")
    assert len(pipeline.rows()) < 400

    with pipeline.worker(tmp_path / "restarted") as worker:
        worker.until(lambda: len(pipeline.rows()) == 400, "the rows are written again")
        assert "rows were deleted without `sequence positions keep`" in worker.log
        pipeline.send(40)
        worker.until(pipeline.done, "later events are written")
        assert worker.exits == 0
    pipeline.check()
    assert pipeline.catalogued() == 300 + 30


def test_unknown_table_is_refused_by_name(pipeline: Pipeline) -> None:
    result = sequence(pipeline, "positions", "keep", "--table", "event")

    assert (result.exit_code, "No such table: event." in result.output) == (1, True)


def advice_of(worker: Worker) -> list[str]:
    """Return the arguments of the command that the refusal of *worker* advises."""
    eventually(lambda: not worker.running, "the worker exits")
    assert "exiting with code 78" in worker.log, worker.log
    (command,) = set(ADVICE.findall(worker.log.splitlines()[-1]))
    return shlex.split(command)[1:]


def follow(pipeline: Pipeline, worker: Worker, topic: str) -> str:
    """Carry out the advice of the refusal of each partition of *topic*; return what was given up."""
    given_up = ""
    line = f"{topic}: partitions assigned"
    before = worker.log.count(line)
    while True:
        eventually(lambda: not worker.running or worker.log.count(line) > before, "the worker refuses or works")
        if worker.running:
            return given_up
        arguments = advice_of(worker)
        shown = sequence(pipeline, *arguments)
        assert (shown.exit_code, "Nothing was changed. Add --yes" in shown.output) == (1, True), shown.output
        accepted = sequence(pipeline, *arguments, "--yes")
        assert accepted.exit_code == 0, accepted.output
        given_up += accepted.output
        worker.restart_if_exited()


def test_expired_events_are_accepted_as_the_refusal_of_the_sink_says(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
    pipeline.send()
    logs.delete_before(pipeline.kafka, pipeline.topics.events, 120)

    with pipeline.worker(tmp_path / "late") as worker:
        given_up = follow(pipeline, worker, pipeline.topics.events)
        worker.until(pipeline.done, "what is left is written")
    assert given_up.count("They have expired.") == 4
    assert len(pipeline.rows()) == pipeline.events - 4 * 120 + 400


def test_rows_that_the_topic_lost_are_accepted_as_the_refusal_says(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
    logs.delete_before(pipeline.kafka, pipeline.topics.events, 80)
    remove(pipeline, DROP, "1")

    with pipeline.worker(tmp_path / "late") as worker:
        given_up = follow(pipeline, worker, pipeline.topics.events)
        worker.until(lambda: len(pipeline.rows()) == 400 - 4 * 80, "what is left is written")
        assert "rows of partition 0 with source offsets 0 to" in given_up
        pipeline.send(40)
        worker.until(pipeline.done, "later events are written")
    assert len(pipeline.rows()) == 400 - 4 * 80 + 40


def test_expired_items_are_accepted_as_the_refusal_of_dedupe_says(pipeline: Pipeline, tmp_path: Path) -> None:
    def items(first: int) -> list[Record]:
        made = [track(f"d{number}") for number in range(first, first + 100)]
        return [Record(item_key(item.project_id, item.message_id), encode_item(item)) for item in made]

    def count() -> int:
        return len(logs.read(pipeline.kafka, pipeline.topics.events))

    logs.write(pipeline.kafka, pipeline.topics.items, items(0))
    with Worker("dedupe", pipeline.kafka, tmp_path) as worker:
        worker.until(lambda: count() == 100, "the items are processed")
    logs.write(pipeline.kafka, pipeline.topics.items, items(100))
    logs.delete_before(pipeline.kafka, pipeline.topics.items, 35)

    with Worker("dedupe", pipeline.kafka, tmp_path) as worker:
        follow(pipeline, worker, pipeline.topics.items)
        left = 200 - 4 * 35
        worker.until(lambda: count() == 100 + left, "what is left is processed")


def test_accept_while_a_worker_runs_changes_nothing(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "WAIT_SECONDS", 1.0)
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
        result = sequence(pipeline, "positions", "accept", "--stage", "sink", "--partition", "0", "--yes")

    assert (result.exit_code, "has members. Stop every `sequence worker sink` first." in result.output) == (1, True)


def test_partition_that_does_not_exist_is_refused(pipeline: Pipeline) -> None:
    result = sequence(pipeline, "positions", "accept", "--stage", "dedupe", "--partition", "9", "--yes")

    assert (result.exit_code, f"{pipeline.topics.items} has no partition 9." in result.output) == (1, True)
