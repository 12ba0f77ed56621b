"""`sequence tables rebuild` on a real broker and the real engine: older tables are replaced and filled again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.operate import offsets
from processors.clickhouse.migrate import RECORD
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics
from tests.support import logs
from tests.support.services import eventually
from tests.support.sink_pipeline import Pipeline, sink_pipeline

OLDER = f"ALTER TABLE {RECORD} UPDATE sha256 = 'older' WHERE name LIKE '0001%' SETTINGS mutations_sync = 2"


@pytest.fixture
def pipeline(clickhouse: str, kafka_settings: KafkaSettings, topics: Topics) -> Iterator[Pipeline]:
    """Tables on the shared server."""
    with sink_pipeline(clickhouse, kafka_settings, topics) as made:
        yield made


def count(pipeline: Pipeline, table: str) -> int:
    return int(pipeline.query(f"SELECT count() AS rows FROM {table}")[0]["rows"])  # noqa: S608  # the test's own


def sequence(pipeline: Pipeline, *arguments: str) -> Result:
    """Run a command with the settings of *pipeline*."""
    environ = {**environment(pipeline.kafka), **environment(pipeline.clickhouse)}
    return CliRunner().invoke(main, list(arguments), env=environ)


def fill(pipeline: Pipeline, directory: Path) -> None:
    """Send 400 events and let a sink write them."""
    pipeline.send()
    with pipeline.worker(directory) as worker:
        worker.until(pipeline.done, "all events are written")


def make_older(pipeline: Pipeline) -> None:
    """Make the tables those of an older version: without `_log`, and with other files."""
    for table in ("events", "identifies", "person_states"):
        pipeline.execute(
            f"ALTER TABLE {table} DROP PROJECTION positions SETTINGS mutations_sync = 2",
            f"ALTER TABLE {table} DROP COLUMN _log SETTINGS mutations_sync = 2",
        )
    pipeline.execute(
        "DROP TABLE _logs",
        "DROP TABLE _positions",
        OLDER,
    )


def test_older_tables_are_kept_and_new_ones_are_filled(pipeline: Pipeline, tmp_path: Path) -> None:
    fill(pipeline, tmp_path / "before")
    assert pipeline.catalogued() == 300
    make_older(pipeline)
    refused = sequence(pipeline, "tables", "migrate")
    assert (refused.exit_code, "Run `sequence tables rebuild`" in refused.output) == (1, True)

    # The advice, word for word.
    asked = sequence(pipeline, "tables", "rebuild")
    assert (asked.exit_code, "events becomes events_before_rebuild." in asked.output) == (1, True)
    assert "Nothing was changed. Add --yes" in asked.output
    started = sequence(pipeline, "tables", "rebuild", "--yes", "--no-wait")
    assert (started.exit_code, "Start `sequence worker sink`." in started.output) == (0, True), started.output

    with pipeline.worker(tmp_path / "after") as worker:
        waited = sequence(pipeline, "tables", "rebuild", "--yes")
        assert waited.exit_code == 0, waited.output + worker.log
        assert "The tables are those of this version." in waited.output
        assert "events         100 %           300 rows" in waited.output
        pipeline.check()
        assert worker.exits == 0
    # The rows have the source offsets that they had, so they are counted.
    assert pipeline.catalogued() == 300
    assert count(pipeline, "events_before_rebuild") == 300
    assert sequence(pipeline, "tables", "migrate").output == "No migrations to apply.\n"


def test_rebuild_while_a_sink_runs_changes_nothing(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offsets, "WAIT_SECONDS", 1.0)
    fill(pipeline, tmp_path / "before")
    make_older(pipeline)
    with pipeline.worker(tmp_path / "after"):
        group = f"{pipeline.topics.prefix}-sink"
        eventually(lambda: not logs.reset(pipeline.kafka, group, [pipeline.topics.events]), "the sink is a member")
        refused = sequence(pipeline, "tables", "rebuild", "--yes")

        assert (refused.exit_code, f"The consumer group {group} has members." in refused.output) == (1, True)
        assert count(pipeline, "events") == 300


def test_interrupted_rebuild_is_finished_by_the_next(pipeline: Pipeline, tmp_path: Path) -> None:
    fill(pipeline, tmp_path / "before")
    make_older(pipeline)
    pipeline.execute("DROP VIEW persons", "RENAME TABLE events TO events_before_rebuild")

    assert sequence(pipeline, "tables", "rebuild", "--yes", "--no-wait").exit_code == 0

    with pipeline.worker(tmp_path / "after"):
        assert sequence(pipeline, "tables", "rebuild").exit_code == 0
    pipeline.check()
    assert count(pipeline, "events_before_rebuild") == 300


def test_rows_that_the_topic_lost_need_a_decision(pipeline: Pipeline, tmp_path: Path) -> None:
    fill(pipeline, tmp_path / "before")
    make_older(pipeline)
    logs.delete_before(pipeline.kafka, pipeline.topics.events, 30)

    refused = sequence(pipeline, "tables", "rebuild", "--yes", "--no-wait")
    assert refused.exit_code == 1
    assert "Add --keep-old-only to continue" in refused.output
    assert count(pipeline, "events") == 300

    # The advice, word for word.
    assert sequence(pipeline, "tables", "rebuild", "--yes", "--no-wait", "--keep-old-only").exit_code == 0
    with pipeline.worker(tmp_path / "after") as worker:
        assert sequence(pipeline, "tables", "rebuild").exit_code == 0
        assert worker.exits == 0, worker.log
    assert len(pipeline.rows()) == 400 - 4 * 30
    assert count(pipeline, "events_before_rebuild") == 300


def test_second_rebuild_does_not_overwrite_the_old_tables(pipeline: Pipeline) -> None:
    pipeline.execute(OLDER)
    assert sequence(pipeline, "tables", "rebuild", "--yes", "--no-wait").exit_code == 0
    pipeline.execute(OLDER)
    result = sequence(pipeline, "tables", "rebuild", "--yes", "--no-wait")

    assert result.exit_code == 1
    assert "events_before_rebuild" in result.output
    assert "exists from an earlier rebuild" in result.output
