"""The three workers: the tables and stages of each."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path

import uvloop

from processors.engine import worker_directory
from processors.engine.aiokafka_patches import patch_closed_transport_error
from processors.engine.app import EngineSettings
from processors.engine.builder import WorkerBuilder
from processors.engine.offsets import read_cluster_id
from processors.engine.rocksdb import StoreConfig
from processors.engine.store import StoreOptions
from processors.rejected_topic import RejectedTopic
from processors.settings import WorkerSettings
from schemas.topics import DAY_MS, VERSION, Topics

# Each worker imports its own stages alone: dedupe and persons need no ClickHouse client.
# ruff: noqa: PLC0415

_COLLECT_AFTER_OBJECTS = 100_000
"""Allocations between garbage collections. A batch holds some ten thousand records without reference cycles, and
Python's default of 700 would scan them repeatedly."""


def run(name: str, settings: WorkerSettings) -> None:
    """Run worker *name* in this process until SIGTERM or SIGINT; `processors.engine.exit` lists the exit codes."""
    uvloop.install()
    patch_closed_transport_error()
    # The sink has no local state and runs on a read-only file system.
    directory = Path(settings.directory) if name == "sink" else worker_directory.prepare(settings.directory)
    builder = WorkerBuilder(
        EngineSettings(
            name,
            settings.kafka,
            directory,
            stall_seconds=settings.stall_seconds,
            session_timeout_seconds=settings.session_timeout_seconds,
            standby_replicas=settings.standby_replicas,
            metrics_host=settings.metrics_host,
            metrics_port=settings.metrics_port,
        ),
        has_state=name != "sink",
    )
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 20, 20)
    {"dedupe": _run_dedupe, "persons": _run_persons, "sink": _run_sink}[name](builder, settings, directory)


def _run_dedupe(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.dedupe.decision import replay
    from processors.dedupe.stage import DedupeStage

    topics = Topics(settings.kafka.topic_prefix)
    window_ms = int(settings.dedupe.window_days * DAY_MS)
    # The records alone give the entries; entries that the table has already make no difference.
    options = StoreOptions(
        directory,
        StoreConfig(window_ms=window_ms),
        lambda records, processed_offset, _known: replay(records, processed_offset),
    )
    seen = builder.table("seen", topic=topics.events, options=options)
    rejected = RejectedTopic(builder.producer, topics, "dedupe", builder.metrics)
    stage = DedupeStage(topics, seen, builder.producer, rejected, window_ms)
    builder.run([stage], other_outputs=[topics.duplicates, topics.identifies])


def _run_persons(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.erased_users import ErasedUsers
    from processors.persons.replay import replay
    from processors.persons.stage import FoldStage

    topics = Topics(settings.kafka.topic_prefix)
    projects = builder.follow_projects()
    replay_persons = partial(replay, erasures_of=ErasedUsers(projects).of_key)
    options = StoreOptions(directory, StoreConfig(), replay_persons, compacted=True)
    persons = builder.table("persons", topic=topics.persons, options=options)
    rejected = RejectedTopic(builder.producer, topics, "persons", builder.metrics)
    builder.run([FoldStage(topics, persons, rejected, projects)])


def _run_sink(builder: WorkerBuilder, settings: WorkerSettings, directory: Path) -> None:
    from processors.sink.logs import LogIdentity
    from processors.sink.stage import stages

    del directory
    topics = Topics(settings.kafka.topic_prefix)

    async def identity() -> LogIdentity:
        # Read once the worker is connected: partitions that are added later get nothing.
        cluster_id = await read_cluster_id(settings.kafka)
        partitions = builder.producer.key_partitions or await builder.producer.partitions(topics.events)
        return LogIdentity(cluster_id, topics.prefix, VERSION, partitions)

    rejected = RejectedTopic(builder.producer, topics, "sink", builder.metrics)
    builder.run(stages(settings, rejected, identity, builder.topic_ids.known, builder.follow_projects()))
