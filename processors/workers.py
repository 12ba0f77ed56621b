"""The three workers: which tables and stages each is made of."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import uvloop

from processors.engine import faults
from processors.engine.connections import tell_of_closed_connections
from processors.engine.rocks import Layout
from processors.engine.store import StoreOptions
from processors.engine.worker import EngineSettings, WorkerBuilder
from processors.rejections import RejectedTopic
from processors.settings import WorkerSettings
from schemas.topics import DAY_MS, Topics

# Each worker imports its own stages alone: dedupe and persons need no ClickHouse client.
# ruff: noqa: PLC0415

WORKERS = ("dedupe", "persons", "events")

_COLLECT_AFTER_OBJECTS = 100_000
"""New objects before the garbage collector looks for cycles. Slices hold some ten thousand records that have none, and
Python's own number of 700 makes it go over all of them again and again."""


def run(name: str, settings: WorkerSettings) -> None:
    """Run worker *name* in this process until it is told to stop; an error ends the process with a code of its own."""
    faults.arm(os.environ)
    uvloop.install()
    tell_of_closed_connections()
    directory = Path(settings.directory)
    builder = WorkerBuilder(
        EngineSettings(
            name,
            settings.kafka,
            directory,
            stall_seconds=settings.stall_seconds,
            session_timeout_seconds=settings.session_timeout_seconds,
            standby_replicas=settings.standby_replicas,
        )
    )
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)
    {"dedupe": _run_dedupe, "persons": _run_persons, "events": _run_events}[name](builder, settings, directory)


def _run_dedupe(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.dedupe.agent import DedupeStage
    from processors.dedupe.decision import replay

    topics = Topics(settings.kafka.topic_prefix)
    window_ms = int(settings.dedupe_window_days * DAY_MS)
    options = StoreOptions(directory, Layout(window_ms=window_ms), replay)
    seen = builder.table("seen", topic=topics.events, options=options)
    stage = DedupeStage(topics, seen, builder.outputs, RejectedTopic(builder.outputs, topics), window_ms)
    builder.run([stage], written=[topics.identifies])


def _run_persons(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.persons.agent import FoldStage
    from processors.persons.recovery import replay

    topics = Topics(settings.kafka.topic_prefix)
    options = StoreOptions(directory, Layout(), replay, compacted=True)
    persons = builder.table("persons", topic=topics.persons, options=options)
    builder.run([FoldStage(topics, persons, RejectedTopic(builder.outputs, topics))])


def _run_events(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.events.agent import stages

    del directory
    builder.run(stages(settings, RejectedTopic(builder.outputs, Topics(settings.kafka.topic_prefix))))
