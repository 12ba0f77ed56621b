"""Faults of data: invalid records, reset offsets, late duplicates, lost responses, full disks, recreated topics."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy import topics as deployed
from processors.settings import WORKERS
from schemas.items import Identify, Item, Track
from schemas.records import Record, encode_item, event_headers, identify_record, item_record
from schemas.settings import TopicSettings, kafka_arguments
from schemas.topics import DAY_MS, Topics
from tests.faults.log_lines import EXIT, TOPIC_RECREATED
from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.support import logs
from tests.support.services import eventually

DISK_MIB = 160
LATE_ITEMS = 5_000
SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS


def resetting_offsets(trial: Trial) -> None:
    """Reset every consumer group to offset 0 while its workers are down."""
    topics = Topics(trial.stack.kafka.topic_prefix)
    read = {
        "dedupe": [topics.items],
        "persons": [topics.identifies],
        "sink": [*topics.of_tables],
    }
    for kind, names in read.items():
        eventually(partial(_reset_while_held_down, trial.stack, kind, names), f"{kind} is reset", within_seconds=60)


def writing_invalid_records(trial: Trial) -> None:
    """Write records that are not items to `items.v1`; each must appear on `rejected.v1`."""
    number = b"%d" % trial.rng.getrandbits(60)
    invalid = [
        Record(b"dev/invalid", b"{not json " + number),
        Record(b"dev/large", b'{"text":"' + b"x" * 1_000_000 + number + b'"}'),
    ]
    logs.write(trial.stack.kafka, Topics(trial.stack.kafka.topic_prefix).items, invalid)


def count_missing_rejections(trial: Trial) -> None:
    """Count the invalid records that are missing from `rejected.v1`. A repeated rejection has the same key."""
    rejected = logs.read(trial.stack.kafka, Topics(trial.stack.kafka.topic_prefix).rejected)
    contents = [json.loads(value) for value in {record.key: record.value for record in rejected}.values()]
    for code in ("not_an_item", "item_too_large"):
        found = sum(content["code"] == code and content["stage"] == "dedupe" for content in contents)
        trial.violations[f"invalid records lost: {code}"] = max(0, trial.scenario.repetitions - found)


def losing_responses(trial: Trial) -> None:
    """Let the proxy close the connection after an INSERT was executed, before its response."""
    proxy = trial.stack.proxy
    assert proxy is not None
    for count in range(1, trial.scenario.repetitions + 1):
        proxy.responses_to_lose = 1
        eventually(lambda count=count: proxy.responses_lost == count, "a response is lost")  # type: ignore[misc]
    trial.notes.append(f"responses lost {proxy.responses_lost}")


def losing_responses_of_joint_inserts(trial: Trial) -> None:
    """Lose responses to INSERTs of several blocks, which are sent one by one then, with other tokens.

    One sink has all partitions and each INSERT is delayed, so that blocks of several partitions wait for the next one.
    """
    stack = trial.stack
    assert stack.proxy is not None
    stack.proxy.only_joint = True
    stack.proxy.delay_seconds = 0.2
    with stack.held(stack.services("sink")[-1]):
        losing_responses(trial)


def killing_in_insert(trial: Trial) -> None:
    """`kill -9` ClickHouse after it has received half of an INSERT, or all of it and is executing it."""
    proxy = trial.stack.proxy
    assert proxy is not None
    killed: list[int] = []

    def kill() -> None:
        time.sleep(trial.rng.choice((0.0, 0.005, 0.02)))
        trial.stack.kill("clickhouse")
        killed.append(1)

    for count in range(1, trial.scenario.repetitions + 1):
        proxy.midway_share = trial.rng.choice((0.5, 1.0, 1.0))
        proxy.midway = kill
        eventually(lambda count=count: len(killed) == count, "ClickHouse is killed during an INSERT", within_seconds=90)  # type: ignore[misc]


def small_disk(stack: Stack) -> None:
    """Put the state of the workers on a small tmpfs. Requires root."""
    directory = stack.state / "workers"
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(directory)], check=True)


def filling_disk(trial: Trial) -> None:
    """Fill the disk of the workers completely for 15 seconds."""
    ballast = trial.stack.state / "workers" / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
        # Growing files use up the last bytes, so that the disk stays full.
        time.sleep(15)
    ballast.unlink()


def resending_late(trial: Trial) -> None:
    """Write items with timestamps of eight days ago, then again one second, one hour and eight days later.

    The topic of items uses CreateTime for this scenario, so that the records set the broker time, and `receivedAt` of
    the gateway agrees. Duplicates within the window of seven days must not count; those after eight days count again.
    """
    stack, ledger = trial.stack, trial.ledger
    topics = Topics(stack.kafka.topic_prefix)
    asyncio.run(take_times_of_records(stack, [topics.items]))
    unique = {raw["messageId"]: raw for raw in ledger.batch(LATE_ITEMS) if raw["userId"]}
    items = list(unique.values())
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


def recreating_topics(trial: Trial) -> None:
    """Delete and recreate the topics: every worker must refuse to start, name the reason, and write nothing."""
    stack = trial.stack
    before = stack.query("SELECT count() AS rows, max(_origin) AS origin FROM events")
    topics = Topics(stack.kafka.topic_prefix)
    asyncio.run(_recreate(stack, [topics.items, topics.events, topics.identifies, topics.persons]))
    for kind in WORKERS:
        for service in stack.services(kind):
            stack.kill(service)
    for kind in WORKERS:
        for service in stack.services(kind):
            eventually(
                lambda service=service: (
                    f"{EXIT}{os.EX_CONFIG}" in stack.log(service) and TOPIC_RECREATED in stack.log(service)
                ),  # type: ignore[misc]
                f"{service} refuses to run and says why: {stack.log(service)[-1500:]}",
                within_seconds=120,
            )
    asyncio.run(_write_to_new_topics(stack, topics))
    time.sleep(15)
    trial.violations["rows written from recreated topics"] = int(
        before != stack.query("SELECT count() AS rows, max(_origin) AS origin FROM events")
    )
    trial.notes.append("each worker refused to start and named the reason")


def _reset_while_held_down(stack: Stack, kind: str, names: list[str]) -> bool:
    for service in stack.services(kind):
        stack.kill(service)
    return logs.reset(stack.kafka, f"{stack.kafka.topic_prefix}-{kind}", names)


def _item(raw: dict[str, Any], received_ms: int) -> Item:
    """Return the item that a gateway would have made of *raw* at *received_ms*."""
    received_at = datetime.fromtimestamp(received_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    common = ("dev", raw["messageId"], raw["userId"])
    time_text = raw["timestamp"].replace(".000Z", ".000000Z")
    if raw["type"] == "track":
        properties = msgspec.Raw(msgspec.json.encode(raw["properties"]))
        return Track(*common, time_text, received_at, event=raw["event"], properties=properties)
    return Identify(*common, time_text, received_at, traits=msgspec.Raw(msgspec.json.encode(raw["traits"])))


async def take_times_of_records(stack: Stack, names: list[str]) -> None:
    """Let the records of topics *names* set their times, however far ahead."""
    admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
    await admin.start()
    try:
        config = {
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": str(2**63 - 1),
            "retention.ms": str(30 * DAY_MS),
        }
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, config) for name in names]
        await admin.alter_configs(resources)
    finally:
        await admin.close()


async def _write_at_times(stack: Stack, topic: str, waves: list[tuple[int, list[dict[str, Any]]]]) -> None:
    async with AIOKafkaProducer(**kafka_arguments(stack.kafka), enable_idempotence=True, linger_ms=10) as producer:
        for time_ms, items in waves:
            sent = [
                await producer.send(topic, key=record.key, value=record.value, timestamp_ms=time_ms)
                for record in (item_record(_item(raw, time_ms)) for raw in items)
            ]
            await asyncio.gather(*sent)


async def _write_to_new_topics(stack: Stack, topics: Topics) -> None:
    """Write items, events and identifies that a running worker would process."""
    async with AIOKafkaProducer(**kafka_arguments(stack.kafka), enable_idempotence=True) as producer:
        for number in range(100):
            time_text = "2026-01-01T00:00:00.000000Z"
            record = item_record(Track("dev", f"new-{number}", "ada", time_text, time_text, event="Page Closed"))
            headers = list(event_headers(b"new-%d" % number, number))
            await producer.send(topics.items, key=record.key, value=record.value)
            await producer.send(topics.events, key=record.key, value=record.value, headers=headers)
            identify = Identify("dev", f"identify-{number}", "ada", time_text, time_text)
            record = identify_record(identify, encode_item(identify), source_offset=number, partition=0)
            await producer.send(topics.identifies, key=record.key, value=record.value, headers=list(record.headers))
        await producer.flush()


async def _recreate(stack: Stack, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
    await admin.start()
    try:
        await admin.delete_topics(names)
        while {topic["topic"] for topic in await admin.describe_topics()} & set(names):  # noqa: ASYNC110  # Kafka offers no event for this
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await deployed.apply(stack.kafka, TopicSettings())
