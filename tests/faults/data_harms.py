"""Harm that is done to data: poison, positions set back, late repeats, lost answers, full disks, topics made again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from functools import partial
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy import topics as deployed
from schemas.items import Identify, Item, Track
from schemas.records import Record, encode_item, event_headers, identify_record, item_record
from schemas.settings import TopicSettings, kafka_arguments
from schemas.topics import DAY_MS, Topics
from tests.faults.harms import WORKERS
from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.support import logs
from tests.support.services import eventually

DISK_MIB = 160
LATE_ITEMS = 5_000
SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS


def resetting_offsets(trial: Trial) -> None:
    """Set every group back to the first offset while its workers are held down."""
    topics = Topics(trial.stack.kafka.topic_prefix)
    read = {
        "dedupe": [topics.items],
        "persons": [topics.identifies],
        "sink": [topics.events, topics.persons],
    }
    for kind, names in read.items():
        eventually(partial(_reset_while_held_down, trial.stack, kind, names), f"{kind} is reset", within_seconds=60)


def poisoning(trial: Trial) -> None:
    """Write what is no item straight to `items.v1`; each has to be found in `rejected.v1` afterwards."""
    number = b"%d" % trial.chance.getrandbits(60)
    poison = [
        Record(b"dev/poison", b"{not json " + number),
        Record(b"dev/large", b'{"text":"' + b"x" * 1_000_000 + number + b'"}'),
    ]
    logs.write(trial.stack.kafka, Topics(trial.stack.kafka.topic_prefix).items, poison)


def count_poison(trial: Trial) -> None:
    """Count the poison that is not in `rejected.v1`. A refusal that is written twice has the same key."""
    rejected = logs.read(trial.stack.kafka, Topics(trial.stack.kafka.topic_prefix).rejected)
    contents = [json.loads(value) for value in {record.key: record.value for record in rejected}.values()]
    for code in ("not_an_item", "item_too_large"):
        found = sum(content["code"] == code and content["stage"] == "dedupe" for content in contents)
        trial.faults[f"poison lost: {code}"] = max(0, trial.scenario.repetitions - found)


def losing_answers(trial: Trial) -> None:
    """Let the proxy break the connection of an INSERT that was carried out, before its answer, time after time."""
    proxy = trial.stack.proxy
    assert proxy is not None
    for count in range(1, trial.scenario.repetitions + 1):
        proxy.answers_to_lose = 1
        eventually(lambda count=count: proxy.answers_lost == count, "an answer is lost")  # type: ignore[misc]
    trial.notes.append(f"answers lost {proxy.answers_lost}")


def killing_in_insert(trial: Trial) -> None:
    """`kill -9` the ClickHouse front when half of an INSERT has come to it, or all of one and it is at work on it."""
    proxy = trial.stack.proxy
    assert proxy is not None
    killed: list[int] = []

    def kill() -> None:
        time.sleep(trial.chance.choice((0.0, 0.005, 0.02)))
        trial.stack.kill("clickhouse")
        killed.append(1)

    for count in range(1, trial.scenario.repetitions + 1):
        proxy.midway_share = trial.chance.choice((0.5, 1.0, 1.0))
        proxy.midway = kill
        eventually(lambda count=count: len(killed) == count, "it is killed in an INSERT", within_seconds=90)  # type: ignore[misc]


def small_disk(stack: Stack) -> None:
    """Put the workers' state on a disk of its own. Needs root, because it mounts one."""
    directory = stack.state / "workers"
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(directory)], check=True)


def filling_disk(trial: Trial) -> None:
    """Fill the workers' disk to its last byte for a while."""
    ballast = trial.stack.state / "workers" / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
        # Growing files take what was left by chance; so it stays full.
        time.sleep(15)
    ballast.unlink()


def repeating_late(trial: Trial) -> None:
    """Write items as of eight days ago, and again a second and an hour after that, and again now.

    The broker's clock is taken over for it: the topics take the times that the records bring. What comes a second or an
    hour later must not count; what comes after eight days is beyond the window of seven and counts once more.
    """
    stack, ledger = trial.stack, trial.ledger
    topics = Topics(stack.kafka.topic_prefix)
    asyncio.run(_take_times_of_records(stack, [topics.items, topics.events]))
    unique = {raw["messageId"]: raw for raw in ledger.batch(LATE_ITEMS) if raw["userId"]}
    items = [_item(raw) for raw in unique.values()]
    now = int(time.time() * 1000)
    then = now - 8 * DAY_MS
    waves = [
        (then, items),
        (then + SECOND_MS, items[::2]),
        (then + HOUR_MS, items[::3]),
        (now, items[::5]),
        (now + SECOND_MS, items[::10]),
    ]
    asyncio.run(_write_at_times(stack, topics.items, waves))
    ledger.settle(list(unique.values()), dict.fromkeys(range(len(unique)), "acknowledged"))
    trial.notes.append(f"{len(items[::5])} of {len(items)} count again after 8 days")


def making_topics_again(trial: Trial) -> None:
    """Delete the topics and make them again: every worker has to refuse to start, to say why, and to write nothing."""
    stack = trial.stack
    before = stack.query("SELECT count() AS rows, max(_origin) AS origin FROM events")
    topics = Topics(stack.kafka.topic_prefix)
    asyncio.run(_delete_and_make(stack, [topics.items, topics.events, topics.identifies, topics.persons]))
    for kind in WORKERS:
        for part in stack.parts(kind):
            stack.kill(part)
    for kind in WORKERS:
        for part in stack.parts(kind):
            eventually(
                lambda part=part: (
                    "refusing to run: " in stack.log(part) and "deleted and made again" in stack.log(part)
                ),  # type: ignore[misc]
                f"{part} refuses to run and says why: {stack.log(part)[-1500:]}",
                within_seconds=120,
            )
    asyncio.run(_write_anew(stack, topics))
    time.sleep(15)
    trial.faults["rows written to topics made again"] = int(
        before != stack.query("SELECT count() AS rows, max(_origin) AS origin FROM events")
    )
    trial.notes.append("each worker refused to start and said why")


def _reset_while_held_down(stack: Stack, kind: str, names: list[str]) -> bool:
    for part in stack.parts(kind):
        stack.kill(part)
    return logs.reset(stack.kafka, f"{stack.kafka.topic_prefix}-{kind}", names)


def _item(raw: dict[str, Any]) -> Item:
    time_text = raw["timestamp"].replace(".000Z", ".000000Z")
    common = ("dev", raw["messageId"], raw["userId"])
    if raw["type"] == "track":
        properties = msgspec.Raw(msgspec.json.encode(raw["properties"]))
        return Track(*common, time_text, time_text, event=raw["event"], properties=properties)
    return Identify(*common, time_text, time_text, traits=msgspec.Raw(msgspec.json.encode(raw["traits"])))


async def _take_times_of_records(stack: Stack, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
    await admin.start()
    try:
        config = {"message.timestamp.type": "CreateTime", "retention.ms": str(30 * DAY_MS)}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, config) for name in names]
        await admin.alter_configs(resources)
    finally:
        await admin.close()


async def _write_at_times(stack: Stack, topic: str, waves: list[tuple[int, list[Item]]]) -> None:
    async with AIOKafkaProducer(**kafka_arguments(stack.kafka), enable_idempotence=True, linger_ms=10) as producer:
        for time_ms, items in waves:
            sent = [
                await producer.send(topic, key=record.key, value=record.value, timestamp_ms=time_ms)
                for record in map(item_record, items)
            ]
            await asyncio.gather(*sent)


async def _write_anew(stack: Stack, topics: Topics) -> None:
    """Write items, events and identifies that a worker would take if it ran."""
    async with AIOKafkaProducer(**kafka_arguments(stack.kafka), enable_idempotence=True) as producer:
        for number in range(100):
            time_text = "2026-01-01T00:00:00.000000Z"
            record = item_record(Track("dev", f"anew-{number}", "ada", time_text, time_text, event="Page Closed"))
            headers = list(event_headers(b"anew-%d" % number, number))
            await producer.send(topics.items, key=record.key, value=record.value)
            await producer.send(topics.events, key=record.key, value=record.value, headers=headers)
            identify = Identify("dev", f"identify-{number}", "ada", time_text, time_text)
            record = identify_record(identify, encode_item(identify), origin=number, partition=0)
            await producer.send(topics.identifies, key=record.key, value=record.value, headers=list(record.headers))
        await producer.flush()


async def _delete_and_make(stack: Stack, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
    await admin.start()
    try:
        await admin.delete_topics(names)
        while {topic["topic"] for topic in await admin.describe_topics()} & set(names):  # noqa: ASYNC110  # Kafka tells nobody
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await deployed.apply(stack.kafka, TopicSettings())
