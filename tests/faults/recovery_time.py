"""Recovery time: takeover of a killed worker's partitions, and restoring a million dedupe entries."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaProducer

from deploy import topics as deployed
from processors.settings import WORKERS
from schemas.items import Track
from schemas.records import encode_item, item_key, partition_for
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from schemas.topics import Topics
from tests.faults.log_lines import ASSIGNED
from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.support import logs
from tests.support.services import embedded_kafka, running
from tests.support.worker_process import Worker

ENTRIES = 1_000_000
REBUILD_LIMIT_SECONDS = 10.0
TAKEOVER_LIMIT_SECONDS = 15.0
PARTITIONS = 4

Progress = Callable[[], dict[int, int]]


def measuring_takeover(trial: Trial) -> None:
    """Kill a worker of each kind in turn and record the longest time without progress of any partition."""
    stack = trial.stack
    topics = Topics(stack.kafka.topic_prefix)
    progress: dict[str, Progress] = {
        "dedupe": lambda: logs.ends(stack.kafka, topics.events),
        "persons": lambda: logs.ends(stack.kafka, topics.persons),
        "sink": lambda: _source_offsets(stack),
    }
    slow = 0
    for kind in WORKERS:
        longest = []
        for _ in range(trial.scenario.repetitions):
            with _Standstill(progress[kind]) as standstill:
                time.sleep(2)
                stack.kill(trial.rng.choice(stack.services(kind)))
                time.sleep(25)
            longest.append(standstill.longest_seconds)
            slow += standstill.longest_seconds > TAKEOVER_LIMIT_SECONDS
        trial.notes.append(f"{kind}: partitions took over within {max(longest):.1f} s")
    trial.violations["slow takeovers"] = slow


def rebuilding_entries() -> float:
    """Return the seconds that a worker without local state takes to restore a million dedupe entries.

    Uses its own broker. The worker itself has processed the items before.
    """
    with tempfile.TemporaryDirectory(prefix="sequence-entries-") as name:
        directory = Path(name)
        with running(embedded_kafka(directory)) as broker:
            kafka = KafkaSettings(bootstrap_servers=broker.address)
            topics = Topics(kafka.topic_prefix)
            asyncio.run(deployed.apply(kafka, TopicSettings(partitions=PARTITIONS)))
            asyncio.run(_write_items(kafka, topics.items))
            worker = Worker("dedupe", kafka, directory / "worker")
            with worker:
                worker.until(
                    lambda: logs.committed(kafka, f"{topics.prefix}-dedupe", topics.items) == ENTRIES,
                    "every item is processed",
                    within_seconds=300,
                )
            shutil.rmtree(worker.state)
            assigned = worker.log.count(ASSIGNED)
            began = time.monotonic()
            with worker:
                worker.until(
                    lambda: worker.log.count(ASSIGNED) > assigned,
                    "its entries are restored",
                    within_seconds=120,
                )
                return time.monotonic() - began


class _Standstill:
    """Measures the longest time without progress of any partition, for the duration of the block."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._failure: Exception | None = None
        self.longest_seconds = 0.0

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        try:
            self._look()
        except Exception as failure:  # noqa: BLE001  # raised again when the block ends
            self._failure = failure

    def _look(self) -> None:
        seen: dict[int, tuple[int, float]] = {}
        while not self._over.wait(0.2):
            reached = self._progress()
            now = time.monotonic()
            for partition, offset in reached.items():
                before, since = seen.get(partition, (-1, now))
                self.longest_seconds = max(self.longest_seconds, now - since)
                if offset != before:
                    seen[partition] = (offset, now)


def _source_offsets(stack: Stack) -> dict[int, int]:
    rows = stack.query("SELECT _partition, max(_origin) AS origin FROM events GROUP BY _partition")
    return {int(str(row["_partition"])): int(str(row["origin"])) for row in rows}


async def _write_items(kafka: KafkaSettings, topic: str) -> None:
    """Write the items as record batches, because one `send` per item would take minutes."""
    async with AIOKafkaProducer(
        **kafka_arguments(kafka), enable_idempotence=True, max_batch_size=900_000, max_request_size=4_000_000
    ) as producer:
        pending = []
        builders = {partition: producer.create_batch() for partition in range(PARTITIONS)}
        for number in range(ENTRIES):
            message_id = f"{number:032d}"
            item = Track(
                "entries",
                message_id,
                "ada",
                "2026-01-01T00:00:00.000000Z",
                "2026-01-01T00:00:00.000000Z",
                event="Page Closed",
            )
            key = item_key(item.project_id, message_id)
            partition = partition_for(key, PARTITIONS)
            value = encode_item(item)
            if builders[partition].append(timestamp=None, key=key, value=value) is None:
                pending.append(await producer.send_batch(builders[partition], topic, partition=partition))
                builders[partition] = producer.create_batch()
                builders[partition].append(timestamp=None, key=key, value=value)
        for partition, builder in builders.items():
            pending.append(await producer.send_batch(builder, topic, partition=partition))
        await asyncio.gather(*pending)
