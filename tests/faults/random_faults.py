"""A random sequence of restores, deletions, kills and pauses, and the comparison of topics and tables after it.

The seed is printed and stands in the report; SEED repeats a sequence.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from processors.settings import WORKERS
from schemas.topics import Topics
from tests.faults.invariants import WINDOW_MS
from tests.faults.reference import counted
from tests.faults.row_deletions import ITEM_TABLES, Model, delete, newest, oldest, stopped_sinks
from tests.faults.stack import Stack
from tests.faults.storage_faults import copy_clickhouse, put_back
from tests.faults.trial import Trial
from tests.support import logs

SEED = "SEQUENCE_TEST_SEED"
PAUSE_SECONDS = 9.0
"""Longer than the session timeout of a worker: its partitions move."""


class RandomFaults:
    """Injects faults at random, and keeps the model of what was deleted on purpose."""

    def __init__(self, trial: Trial, rng: random.Random) -> None:
        self._trial = trial
        self._stack = trial.stack
        self._rng = rng
        self._copies: list[tuple[Path, Model]] = []
        self.done: Counter[str] = Counter()

    def one(self) -> None:
        """Inject one fault, and keep sending for a moment."""
        faults: dict[str, tuple[float, Callable[[], None]]] = {
            "copy": (2, self.copy),
            "restore": (3, self.restore),
            "delete": (2, self.delete),
            "delete with positions kept": (2, self.delete_and_keep),
            "kill": (3, self.kill),
            "pause": (1, self.pause),
        }
        names = list(faults)
        (name,) = self._rng.choices(names, [faults[name][0] for name in names])
        self.done[name] += 1
        faults[name][1]()
        time.sleep(self._rng.uniform(0.5, 4.0))

    def copy(self) -> None:
        """Copy the directory of ClickHouse, and remember what was deleted so far."""
        copy = copy_clickhouse(self._stack, f"copy-{len(self._copies)}")
        self._copies.append((copy, Model.of(self._trial.ledger)))

    def restore(self) -> None:
        """Put back a copy, with the sinks stopped or running."""
        if not self._copies:
            self.copy()
        copy, model = self._rng.choice(self._copies)
        sinks = self._stack.services("sink") if self._rng.random() < 0.5 else []
        with self._stack.held("clickhouse", *sinks):
            put_back(self._stack, copy)
            model.restore(self._trial.ledger)

    def delete(self) -> None:
        """Delete the newest rows of each partition while the sinks are stopped; they are written again."""
        table = self._rng.choice(ITEM_TABLES)
        with stopped_sinks(self._stack):
            where = newest(self._stack, table, self._rng.randrange(1, 200))
            delete(self._stack, self._trial.ledger, table, where, kind=self._kind(), then="may come back")

    def delete_and_keep(self) -> None:
        """Delete the oldest or the newest rows of each partition after the positions were noted."""
        table = self._rng.choice(ITEM_TABLES)
        with stopped_sinks(self._stack):
            choose = self._rng.choice((oldest, newest))
            where = choose(self._stack, table, self._rng.randrange(1, 200))
            delete(self._stack, self._trial.ledger, table, where, kind=self._kind(), then="stay deleted")

    def kill(self) -> None:
        """`kill -9` a random service."""
        kind = self._rng.choice(("gateway", "kafka", "clickhouse", "sink", *WORKERS))
        self._stack.kill(self._rng.choice(self._stack.services(kind)))

    def pause(self) -> None:
        """Suspend a random worker until its partitions have moved."""
        pid = self._stack.signal(self._rng.choice(self._stack.services(self._rng.choice(WORKERS))), signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        self._stack.send_signal(pid, signal.SIGCONT)

    def _kind(self) -> str:
        return self._rng.choice(("DELETE", "ALTER DELETE"))


def random_sequence(trial: Trial) -> None:
    """Inject as many random faults as the scenario says."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"seed {seed}\n")
    trial.notes.append(f"seed {seed}")
    faults = RandomFaults(trial, random.Random(seed))
    for _ in range(trial.scenario.repetitions):
        faults.one()
    trial.notes.append(", ".join(f"{name} {count}" for name, count in sorted(faults.done.items())))


def compare_source_offsets(trial: Trial) -> None:
    """Compare `items.v1`, `events.v1` and the tables, source offset by source offset."""
    stack, ledger = trial.stack, trial.ledger
    topics = Topics(stack.kafka.topic_prefix)
    events = {
        (record.partition, int(dict(record.headers)["origin"]))
        for record in logs.first_by_origin(logs.read(stack.kafka, topics.events))
    }
    expected = set(counted(logs.read(stack.kafka, topics.items), WINDOW_MS))
    rows = Counter(_source_offsets(stack))
    trial.violations["source offsets missing from events.v1"] = len(expected - events)
    trial.violations["source offsets of events.v1 that do not count"] = len(events - expected)
    trial.violations["source offsets missing from the tables"] = len(
        events - set(rows) - ledger.deleted - ledger.maybe_deleted
    )
    trial.violations["source offsets twice in the tables"] = sum(count > 1 for count in rows.values())
    trial.violations["source offsets of no event"] = len(set(rows) - events)
    trial.violations["source offsets deleted and written again"] = len(set(rows) & ledger.deleted)
    trial.notes.append(
        f"{len(events)} source offsets compared, {len(ledger.deleted)} deleted, {len(ledger.maybe_deleted)} perhaps"
    )


def _source_offsets(stack: Stack) -> list[tuple[int, int]]:
    found = stack.query("SELECT _partition, _origin FROM events UNION ALL SELECT _partition, _origin FROM identifies")
    return [(int(str(row["_partition"])), int(str(row["_origin"]))) for row in found]
