"""Retention with a sink process on a real broker: it follows the projects, is killed, and writes no row again.

Kafka still has the items, unlike those of a retention in use: only the noted positions keep the sink and a refill from
writing their rows.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from gateway.projects.admin import create_project, update_project
from schemas.retention import Retention
from tests.integration.test_audit import audited, total
from tests.support.sink_pipeline import COUNT, Pipeline


def keep(pipeline: Pipeline, days: int | None) -> None:
    """Let the project of the items, which are of January, keep its rows for *days*."""
    asyncio.run(update_project(pipeline.kafka, "p", retention=Retention(days)))


def removed(pipeline: Pipeline) -> int:
    """Return the number of removed rows by the ledger."""
    [row] = pipeline.query("SELECT sum(removed) AS rows FROM ledger WHERE project_id = 'p'")
    return int(row["rows"])


def write(pipeline: Pipeline, directory: Path) -> None:
    pipeline.send()
    with pipeline.worker(directory) as worker:
        worker.until(pipeline.done, "all events are written")
    assert len(pipeline.rows()) == COUNT
    asyncio.run(create_project(pipeline.kafka, "p", "p"))
    keep(pipeline, 30)


@pytest.mark.parametrize("step", ["recorded", "kept", "removed"])
def test_rows_that_expired_leave_once_although_the_sink_is_killed(
    pipeline: Pipeline, tmp_path: Path, step: str
) -> None:
    write(pipeline, tmp_path / "first")
    with pipeline.worker(tmp_path / "second", SEQUENCE_TEST_KILL_AT=f"{step}:1") as worker:
        worker.until(lambda: removed(pipeline) == COUNT, "every row has left")
        assert worker.codes == [128 + signal.SIGKILL]
    keep(pipeline, None)
    with pipeline.worker(tmp_path / "third") as worker:
        pipeline.send(40)
        worker.until(pipeline.done, "later events are written")
        assert len(pipeline.rows()) == 40
        assert worker.exits == 0

    code, report = audited(pipeline, "--refill")
    assert (code, report["missing"], report["written"], total(report, "removed")) == (0, 0, 0, COUNT)


def test_rows_whose_positions_are_not_noted_are_written_again(pipeline: Pipeline, tmp_path: Path) -> None:
    """The control of the test above."""
    write(pipeline, tmp_path / "first")
    with pipeline.worker(tmp_path / "second", SEQUENCE_TEST_WITHOUT="removal_positions") as worker:
        worker.until(lambda: removed(pipeline) == COUNT, "every row has left")
    keep(pipeline, None)
    with pipeline.worker(tmp_path / "third") as worker:
        worker.until(lambda: len(pipeline.rows()) > 0, "rows are written again")
