"""`sequence backup` and `sequence restore` beside a sink that writes, on a real broker and the real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.operate import offsets
from deploy.topics import apply
from gateway.projects import admin
from schemas.projects import digest
from schemas.settings import KafkaSettings, TopicSettings, environment, kafka_arguments
from schemas.topics import Topics
from tests.support.sink_pipeline import Pipeline

LATER = 2_000


def sequence(pipeline: Pipeline, *arguments: str) -> Result:
    """Run a command with the settings of *pipeline*."""
    environ = {**environment(pipeline.kafka), **environment(pipeline.clickhouse)}
    return CliRunner().invoke(main, list(arguments), env=environ)


def restored_rows(pipeline: Pipeline) -> list[dict[str, str]]:
    """Return the number of rows of each log."""
    return pipeline.query("SELECT _log AS log, count() AS rows FROM events GROUP BY log ORDER BY log")


def add_up(pipeline: Pipeline) -> bool:
    """Return whether `sequence audit` finds every item of the topics in its table."""
    audited = sequence(pipeline, "audit", "--json")
    found = json.loads(audited.stdout)
    return (audited.exit_code, found["missing"]) == (0, 0)


def delete_topics(kafka: KafkaSettings, names: list[str]) -> None:
    async def delete() -> None:
        client = AIOKafkaAdminClient(**kafka_arguments(kafka))
        await client.start()
        try:
            await client.delete_topics(names)
        finally:
            await client.close()

    asyncio.run(delete())


@pytest.fixture
def new_pipeline(own_pipeline: Pipeline) -> Iterator[Pipeline]:
    """Topics of another prefix, which are another log as those of another Kafka are, for the same tables."""
    kafka = replace(own_pipeline.kafka, topic_prefix=f"{own_pipeline.kafka.topic_prefix}-new")
    made = asyncio.run(apply(kafka, TopicSettings()))
    yield Pipeline(kafka, Topics(kafka.topic_prefix), own_pipeline.clickhouse)
    delete_topics(kafka, made)


def test_sink_fills_in_what_came_after_the_backup(
    own_pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tmp_path / "backups")
    own_pipeline.send()
    with own_pipeline.worker(tmp_path / "before") as worker:
        worker.until(own_pipeline.done, "all events are written")
        own_pipeline.send(LATER)
        made = sequence(own_pipeline, "backup", directory)
        assert made.exit_code == 0, made.output
        worker.until(own_pipeline.done, "later events are written")
        own_pipeline.send()
        worker.until(own_pipeline.done, "the last events are written")
        monkeypatch.setattr(offsets, "WAIT_SECONDS", 1.0)
        refused = sequence(own_pipeline, "restore", directory, "--replace", "--yes")
        assert (refused.exit_code, "Stop every `sequence worker sink` first" in refused.output) == (1, True)
        monkeypatch.undo()
    own_pipeline.check()
    own_pipeline.execute(f"DROP DATABASE {own_pipeline.clickhouse.database} SYNC")

    restored = sequence(own_pipeline, "restore", directory)

    assert restored.exit_code == 0, restored.output
    assert len(own_pipeline.rows()) < len(own_pipeline.items)
    own_pipeline.stop_merges()
    with own_pipeline.worker(tmp_path / "after") as worker:
        worker.until(lambda: len(own_pipeline.rows()) >= len(own_pipeline.items), "the sink has filled the tables")
        own_pipeline.send()
        worker.until(own_pipeline.done, "new events are written")
        own_pipeline.check()
        assert add_up(own_pipeline)
        assert (worker.exits, "Reading again from offset" in worker.log) == (0, True)


def test_new_kafka_gets_projects_and_tokens_and_its_rows_have_another_log(
    own_pipeline: Pipeline, new_pipeline: Pipeline, tmp_path: Path
) -> None:
    directory = str(tmp_path / "backups")
    asyncio.run(admin.create_project(own_pipeline.kafka, "shop", "Shop"))
    token, revoked = (asyncio.run(admin.create_token(own_pipeline.kafka, "shop")) for _ in range(2))
    asyncio.run(admin.revoke_token(own_pipeline.kafka, digest(revoked)[:16]))
    own_pipeline.send()
    with own_pipeline.worker(tmp_path / "before") as worker:
        worker.until(own_pipeline.done, "all events are written")
    assert sequence(own_pipeline, "backup", directory).exit_code == 0

    refused = sequence(new_pipeline, "restore", directory, "--replace", "--yes")
    assert (refused.exit_code, "Add --new-kafka" in refused.output) == (1, True), refused.output
    # The advice, word for word.
    restored = sequence(new_pipeline, "restore", directory, "--replace", "--yes", "--new-kafka")
    assert (restored.exit_code, "those of log 2" in restored.output) == (0, True), restored.output

    tokens = {each.id: each.revoked_at for each in asyncio.run(admin.list_tokens(new_pipeline.kafka, "shop"))}
    assert tokens[digest(token)[:16]] is None
    assert tokens[digest(revoked)[:16]] is not None
    again = sequence(new_pipeline, "restore", directory, "--replace", "--yes", "--new-kafka")
    assert (again.exit_code, "records of projects" in again.output) == (0, False), again.output
    new_pipeline.send()
    with new_pipeline.worker(tmp_path / "after") as worker:
        worker.until(new_pipeline.done, "new events are written")
        assert worker.exits == 0, worker.log
    assert [(int(row["log"]), int(row["rows"])) for row in restored_rows(new_pipeline)] == [(1, 300), (2, 300)]
    assert add_up(new_pipeline)
