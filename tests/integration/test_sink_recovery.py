"""The sink after its tables or its group have lost something: every row comes back, or the loss is refused by name.

On a real broker and the real engine. Rows are counted without FINAL and with merges stopped.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from processors.sink.logs import ClickHouseLogs
from schemas.clickhouse import TABLES
from tests.support import logs
from tests.support.services import Service, eventually
from tests.support.sink_pipeline import Pipeline
from tests.support.table_ddl import statements_of

WARNING = "when the consumer group committed. It was restored, lost or rolled back"
REFUSED = "exiting with code 78"


def written(pipeline: Pipeline, directory: Path, count: int = 400) -> str:
    """Send *count* more events, run a worker until the tables have all, stop it, and return its log."""
    if count:
        pipeline.send(count)
    with pipeline.worker(directory) as worker:
        worker.until(lambda: pipeline.done() and len(pipeline.rows()) >= len(pipeline.items), "all rows are written")
        assert worker.exits == 0, worker.log
    return worker.log


def refused(pipeline: Pipeline, directory: Path) -> str:
    """Run a worker until it refuses, and return its log."""
    with pipeline.worker(directory) as worker:
        eventually(lambda: not worker.running, "the worker refuses", output=lambda: worker.log)
    assert REFUSED in worker.log
    return worker.log


def execute(pipeline: Pipeline, *statements: str) -> None:
    pipeline.execute(*statements, mutations_sync=1)


def mutate(pipeline: Pipeline, *statements: str) -> None:
    """Run *statements* with merges, without which no row is deleted."""
    tables = [f"{pipeline.clickhouse.database}.{table.name}" for table in TABLES]
    execute(pipeline, *(f"SYSTEM START MERGES {table}" for table in tables), *statements)
    pipeline.stop_merges()


def group(pipeline: Pipeline) -> str:
    return f"{pipeline.topics.prefix}-sink"


def forget(pipeline: Pipeline) -> None:
    logs.forget_group(pipeline.kafka, group(pipeline))


def backed_up(server: Service, directory: Path) -> Path:
    """Return a copy of the data of *server* in *directory*."""
    server.stop()
    copy = directory / "backup"
    shutil.copytree(server.directory / "clickhouse", copy, symlinks=True)
    server.start()
    return copy


def restore(server: Service, backup: Path) -> None:
    """Put *backup* in place of the data of *server*."""
    server.stop()
    shutil.rmtree(server.directory / "clickhouse")
    shutil.copytree(backup, server.directory / "clickhouse", symlinks=True)
    server.start()


def test_rows_written_after_a_backup_are_written_again_when_it_is_restored(
    own_pipeline: Pipeline, server: Service, tmp_path: Path
) -> None:
    written(own_pipeline, tmp_path / "a")
    backup = backed_up(server, tmp_path)
    own_pipeline.stop_merges()
    written(own_pipeline, tmp_path / "b")
    restore(server, backup)
    own_pipeline.stop_merges()
    assert len(own_pipeline.rows()) == 400

    log = written(own_pipeline, tmp_path / "c", 100)
    own_pipeline.check()
    assert log.count(WARNING) == 8
    assert WARNING not in written(own_pipeline, tmp_path / "d", 100)
    own_pipeline.check()


def test_idle_sink_fills_a_restored_table_without_new_events(
    own_pipeline: Pipeline, server: Service, tmp_path: Path
) -> None:
    backup = backed_up(server, tmp_path)
    own_pipeline.stop_merges()
    written(own_pipeline, tmp_path / "a")
    restore(server, backup)
    own_pipeline.stop_merges()

    written(own_pipeline, tmp_path / "b", 0)
    own_pipeline.check()


def test_wiped_clickhouse_is_filled_again(own_pipeline: Pipeline, server: Service, tmp_path: Path) -> None:
    written(own_pipeline, tmp_path / "a")
    server.stop()
    shutil.rmtree(server.directory / "clickhouse")
    server.start()
    migrate(own_pipeline.clickhouse)
    own_pipeline.stop_merges()

    assert WARNING in written(own_pipeline, tmp_path / "b", 100)
    own_pipeline.check()


def drop_and_create(pipeline: Pipeline) -> None:
    execute(pipeline, "DROP TABLE identifies SYNC", *statements_of("identifies"))
    pipeline.stop_merges()


def drop_newest_parts(pipeline: Pipeline) -> None:
    parts = pipeline.query(
        "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active"
        " ORDER BY modification_time DESC, name DESC LIMIT 3"
    )
    execute(pipeline, *(f"ALTER TABLE events DROP PART '{part['name']}'" for part in parts))


def delete_newest_rows(pipeline: Pipeline) -> None:
    mutate(pipeline, "ALTER TABLE events DELETE WHERE _origin > 80", "DELETE FROM identifies WHERE _origin > 90")


def empty_tables(pipeline: Pipeline) -> None:
    execute(pipeline, "TRUNCATE TABLE events", "TRUNCATE TABLE identifies")


@pytest.mark.parametrize("lose", [drop_and_create, drop_newest_parts, delete_newest_rows, empty_tables])
def test_rows_that_tables_have_lost_are_written_again(
    pipeline: Pipeline, tmp_path: Path, lose: Callable[[Pipeline], None]
) -> None:
    written(pipeline, tmp_path / "a", 300)
    written(pipeline, tmp_path / "b", 300)
    lose(pipeline)
    assert len(pipeline.rows()) < 600

    assert WARNING in written(pipeline, tmp_path / "c", 100)
    pipeline.check()


def test_rows_deleted_while_the_sink_runs_are_written_again_at_the_next_assignment(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path / "one") as one:
        one.until(pipeline.done, "all events are written")
        delete_newest_rows(pipeline)
        with pipeline.worker(tmp_path / "two") as two:
            eventually(lambda: "partitions assigned" in two.log, "the other worker has partitions")
            eventually(lambda: len(pipeline.rows()) == 400, "the deleted rows are written again")
            assert (one.exits, two.exits) == (0, 0)
    pipeline.check()


def test_group_without_offsets_continues_after_the_tables(pipeline: Pipeline, tmp_path: Path) -> None:
    written(pipeline, tmp_path / "a")
    forget(pipeline)
    pipeline.send(100)
    log = written(pipeline, tmp_path / "b", 100)
    pipeline.check()
    assert "the consumer group has no committed offset; by the tables it continues" in log


def test_group_without_offsets_continues_if_what_expired_was_written(pipeline: Pipeline, tmp_path: Path) -> None:
    written(pipeline, tmp_path / "a")
    forget(pipeline)
    logs.delete_before(pipeline.kafka, pipeline.topics.events, 50)
    written(pipeline, tmp_path / "b", 100)
    pipeline.check()


def test_group_without_offsets_is_refused_if_events_expired_unwritten(pipeline: Pipeline, tmp_path: Path) -> None:
    written(pipeline, tmp_path / "a", 200)
    pipeline.send(200)
    forget(pipeline)
    logs.delete_before(pipeline.kafka, pipeline.topics.events, 80)
    log = refused(pipeline, tmp_path / "b")
    assert "offsets below 80 have expired, so that nothing tells whether records in between were written" in log
    assert len(pipeline.rows()) == 200

    accept_all(pipeline, 80)
    with pipeline.worker(tmp_path / "c") as worker:
        eventually(lambda: committed(pipeline) == pipeline.events, "the rest is read")
        assert worker.running
    assert 200 < len(pipeline.rows()) < 400


def test_restored_tables_are_refused_if_events_have_expired(pipeline: Pipeline, tmp_path: Path) -> None:
    written(pipeline, tmp_path / "a")
    mutate(pipeline, "ALTER TABLE events DELETE WHERE _origin > 20")
    logs.delete_before(pipeline.kafka, pipeline.topics.events, 60)
    log = refused(pipeline, tmp_path / "b")
    found = re.search(r"events\.v1\[(\d)\]: the table events is at source offset (\d+), but it was at", log)
    assert found is not None, log
    # One item in four is an identify.
    left = positions(pipeline)[int(found[1])]
    assert int(found[2]) == left <= 20
    assert f"Rows with source offsets {left + 1} to 59 cannot be written again: offsets below 60 have expired" in log

    accept_all(pipeline, 60)
    with pipeline.worker(tmp_path / "c") as worker:
        eventually(lambda: newest(pipeline) > 60, "the rest is written again")
        assert worker.running


def test_commit_without_metadata_continues_at_the_committed_offset(pipeline: Pipeline, tmp_path: Path) -> None:
    written(pipeline, tmp_path / "a")
    ends = logs.ends(pipeline.kafka, pipeline.topics.events)
    logs.commit(pipeline.kafka, group(pipeline), pipeline.topics.events, ends)
    execute(pipeline, "TRUNCATE TABLE events")
    pipeline.send(100)
    with pipeline.worker(tmp_path / "b") as worker:
        worker.until(pipeline.done, "all is committed")
    assert WARNING not in worker.log


def test_other_deployment_in_the_database_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    written(pipeline, tmp_path / "a", 40)
    execute(pipeline, "ALTER TABLE _logs UPDATE cluster_id = 'another-cluster' WHERE 1")
    log = refused(pipeline, tmp_path / "b")
    assert "belongs to another deployment: Kafka cluster another-cluster" in log
    assert "sequence positions add-log" in log


def accept_all(pipeline: Pipeline, log_start: int) -> None:
    """Accept the loss of all events below *log_start*."""
    client = ClickHouse(pipeline.clickhouse)
    for partition in range(4):
        ClickHouseLogs(client, pipeline.clickhouse.database).accept_loss(1, "events.v1", partition, log_start)
    client.close()


def committed(pipeline: Pipeline) -> int:
    return logs.committed(pipeline.kafka, group(pipeline), pipeline.topics.events)


def newest(pipeline: Pipeline) -> int:
    """Return the lowest of the positions of the partitions of `events`."""
    return min(positions(pipeline).values())


def positions(pipeline: Pipeline) -> dict[int, int]:
    """Return the highest source offset of each partition of `events`."""
    rows = pipeline.query("SELECT _partition, max(_origin) AS position FROM events GROUP BY _partition")
    return {int(row["_partition"]): int(row["position"]) for row in rows}
