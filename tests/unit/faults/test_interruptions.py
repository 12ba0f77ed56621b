"""Interruptions: signals at failpoints, lost batches, and the entry point that applies them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from faust.types import TP

import processors
from processors.dedupe.stage import DedupeStage
from processors.engine import failpoints
from processors.engine.fetch_epochs import FetchEpochs
from tests.faults.interruptions import POINTS, arm
from tests.faults.worker import KILL_AT, LOSE, STOP_AT, STUCK, VARIABLES, WITHOUT, command
from tests.support.records import SlimRecord

ITEMS = TP("items", 0)


@dataclass(frozen=True)
class Batch:
    """What the interruption needs of a batch."""

    partition: int


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the signals that this process would have been sent."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_failpoints_have_no_effect_by_themselves(signals: list[tuple[int, int]]) -> None:
    for point in POINTS:
        failpoints.hit(point)
    assert signals == []


def test_product_has_every_failpoint_and_calls_it_so_that_tests_can_replace_it() -> None:
    text = "".join(path.read_text() for path in Path(processors.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'failpoints\.hit\("(\w+)"\)', text)) == POINTS
    assert "failpoints import hit" not in text


@pytest.mark.parametrize(("variable", "number"), [(KILL_AT, signal.SIGKILL), (STOP_AT, signal.SIGSTOP)])
def test_signal_is_sent_at_every_nth_hit(
    signals: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, variable: str, number: signal.Signals
) -> None:
    arm({variable: "applied:2"}, monkeypatch.setattr)
    for _ in range(3):
        failpoints.hit("applied")
        failpoints.hit("decided")
    assert signals == [(os.getpid(), number)]
    failpoints.hit("applied")
    assert len(signals) == 2


def test_every_nth_current_batch_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    arm({LOSE: "3"}, monkeypatch.setattr)
    epochs = FetchEpochs()
    epochs.seek({ITEMS: 0})
    epoch = epochs.batches({ITEMS: [SlimRecord(0)]})[ITEMS].epoch
    assert [epochs.is_current(ITEMS, epoch) for _ in range(6)] == [True, True, False] * 2


@pytest.mark.parametrize("environ", [{KILL_AT: "nowhere:1"}, {STOP_AT: "nowhere:1"}, {WITHOUT: "nothing"}])
def test_unknown_failpoint_or_mutant_is_an_error(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no such"):
        arm(environ, monkeypatch.setattr)


@pytest.mark.parametrize("variable", sorted(VARIABLES))
def test_worker_runs_through_the_test_entry_point_only_if_asked(variable: str) -> None:
    product = [sys.executable, "-m", "deploy.cli", "worker", "dedupe"]
    assert command("dedupe", {}) == command("dedupe", {variable: ""}) == product
    assert command("dedupe", {variable: "x"}) == [sys.executable, "-m", "tests.faults.worker", "worker", "dedupe"]


def test_batches_of_one_partition_are_stuck_while_the_file_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processed: list[int] = []

    async def process(self: object, batch: Batch) -> None:
        del self
        processed.append(batch.partition)

    monkeypatch.setattr(DedupeStage, "process", process)
    file = tmp_path / "stuck"
    file.write_text("1")
    arm({STUCK: str(file)}, monkeypatch.setattr)

    async def both() -> None:
        stuck = asyncio.ensure_future(DedupeStage.process(None, Batch(1)))  # type: ignore[arg-type]  # all that it uses
        await DedupeStage.process(None, Batch(2))  # type: ignore[arg-type]
        assert processed == [2]
        file.unlink()
        await stuck

    asyncio.run(both())

    assert processed == [2, 1]
