"""The local stack with tables that are older, deleted, or lack events that have expired."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.clickhouse.migrate import RECORD
from schemas.settings import KafkaSettings
from tests.support import logs
from tests.support.local_stack import Stack
from tests.support.services import eventually


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    yield made
    made.kill()


def sequence(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of *stack*."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env=stack.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.timeout(240)  # two starts, and a rebuild
def test_older_tables_are_rebuilt_while_the_stack_runs(stack: Stack) -> None:
    stack.start()
    stack.post("Before")
    eventually(lambda: stack.stored("Before") == 1, "the event is stored")
    assert sequence(stack, "positions", "keep").returncode == 0
    assert json.loads(sequence(stack, "audit", "--json").stdout)["missing"] == 0
    older = f"ALTER TABLE {RECORD} UPDATE sha256 = 'older' WHERE name LIKE '0001%' SETTINGS mutations_sync = 2"
    assert sequence(stack, "sql", "--write", older).returncode == 0
    assert stack.send(signal.SIGTERM) == 0

    stack.start()
    eventually(lambda: stack.said("Run `sequence tables rebuild`"), "the stack says what to do")
    stack.post("During")
    refused = sequence(stack, "tables", "rebuild")
    assert (refused.returncode, "Add --yes" in refused.stderr) == (1, True)
    rebuilt = sequence(stack, "tables", "rebuild", "--yes")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr + stack.output.read_text() + stack.log("clickhouse")
    assert "events_before_rebuild" in rebuilt.stdout
    assert "Rows were deleted after `sequence positions keep`." in rebuilt.stdout
    eventually(lambda: stack.said("The sink runs."), "the stack starts the sink")
    eventually(lambda: stack.stored("During") == 1, "the later event is stored")
    assert stack.stored("Before") == 1
    assert stack.send(signal.SIGTERM) == 0


@pytest.mark.timeout(240)  # two starts, and the 30 s after which the sink is started again
def test_expired_events_are_accepted_while_the_stack_runs(stack: Stack) -> None:
    stack.start()
    stack.post("Before")
    eventually(lambda: stack.stored("Before") == 1, "the event is stored")
    assert sequence(stack, "sql", "--write", "TRUNCATE TABLE events").returncode == 0
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{stack.environ['SEQUENCE_LOCAL_KAFKA_PORT']}")
    logs.delete_before(kafka, "sequence.events.v1", -1)
    assert stack.send(signal.SIGTERM) == 0

    stack.start()
    eventually(lambda: stack.said("sink-1 exited with code 78; restarting in 30 s"), "the sink refuses")
    (arguments,) = re.findall(r"`sequence (positions accept [^`]*)`", stack.output.read_text())
    accepted = sequence(stack, *arguments.split(), "--yes")
    assert accepted.returncode == 0, accepted.stderr
    eventually(lambda: stack.said("sink-1 is ready again"), "the sink runs")
    stack.post("After")
    eventually(lambda: stack.stored("After") == 1, "later events are stored")
    assert stack.send(signal.SIGTERM) == 0


@pytest.mark.timeout(240)  # two starts
def test_deleted_tables_are_filled_with_what_kafka_still_has(stack: Stack) -> None:
    stack.start()
    stack.post("Before")
    eventually(lambda: stack.stored("Before") == 1, "the event is stored")
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{stack.environ['SEQUENCE_LOCAL_KAFKA_PORT']}")
    logs.delete_before(kafka, "sequence.events.v1", -1)
    stack.post("Left")
    eventually(lambda: stack.stored("Left") == 1, "the later event is stored")
    assert stack.send(signal.SIGTERM) == 0
    shutil.rmtree(stack.state / "clickhouse")

    stack.start()
    assert stack.said("ClickHouse has no tables. The sink loads all events that Kafka still has.")
    eventually(lambda: stack.stored("Left") == 1, "the event that is left is stored again")
    assert stack.stored("Before") == 0
    assert not stack.said("exited with code 78")
    assert stack.send(signal.SIGTERM) == 0
