"""The three workers: which tables and stages each is made of."""

from __future__ import annotations

import gc
from pathlib import Path

import uvloop

from processors.engine.app import EngineSettings, WorkerBuilder
from processors.engine.connections import patch_closed_transport_error
from processors.engine.rocksdb import StoreConfig
from processors.engine.store import StoreOptions
from processors.rejected import RejectedTopic
from processors.settings import WorkerSettings
from schemas.topics import DAY_MS, Topics

# Each worker imports its own stages alone: dedupe and persons need no ClickHouse client.
# ruff: noqa: PLC0415

WORKERS = ("dedupe", "persons", "sink")

_COLLECT_AFTER_OBJECTS = 100_000
"""New objects before the garbage collector looks for cycles. Slices hold some ten thousand records that have none, and
Python's own number of 700 makes it go over all of them again and again."""


def run(name: str, settings: WorkerSettings) -> None:
    """Run worker *name* in this process until it is told to stop; an error ends the process with a code of its own."""
    uvloop.install()
    patch_closed_transport_error()
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
    {"dedupe": _run_dedupe, "persons": _run_persons, "sink": _run_sink}[name](builder, settings, directory)


def _run_dedupe(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.dedupe.decision import replay
    from processors.dedupe.stage import DedupeStage

    topics = Topics(settings.kafka.topic_prefix)
    window_ms = int(settings.dedupe.window_days * DAY_MS)
    options = StoreOptions(directory, StoreConfig(window_ms=window_ms), replay)
    seen = builder.table("seen", topic=topics.events, options=options)
    stage = DedupeStage(topics, seen, builder.outputs, RejectedTopic(builder.outputs, topics), window_ms)
    builder.run([stage], written=[topics.identifies])


def _run_persons(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.persons.replay import replay
    from processors.persons.stage import FoldStage

    topics = Topics(settings.kafka.topic_prefix)
    options = StoreOptions(directory, StoreConfig(), replay, compacted=True)
    persons = builder.table("persons", topic=topics.persons, options=options)
    builder.run([FoldStage(topics, persons, RejectedTopic(builder.outputs, topics))])


def _run_sink(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.sink.stage import stages

    del directory
    builder.run(stages(settings, RejectedTopic(builder.outputs, Topics(settings.kafka.topic_prefix))))
