"""Faults of a deployment's identity: a second prefix on the database, offsets forgotten, partitions added."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest

from deploy import topics as deployed
from processors.settings import WORKERS
from schemas.records import Record, event_headers
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from schemas.topics import Topics
from tests.faults.ledger import SourceOffset
from tests.faults.log_lines import EXIT, EXPIRED, PARTITIONS_CHANGED
from tests.faults.row_deletions import ITEM_TABLES, rows_of
from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.faults.worker import command
from tests.support import logs
from tests.support.services import eventually

OTHER_PREFIX = "other"
PARTITIONS = 4
ADDED = 4
SAME_TRACKS = 50
COPIES = 20
"""Of every record: the topics of another prefix stay longer than ours, which grow meanwhile."""
ACCEPT = ("positions", "accept", "--stage", "sink", "--partition")
"""The command that the refusal names."""


def using_two_prefixes(trial: Trial) -> None:
    """Start a sink of another prefix on the same database; it must refuse with exit code 78 and change nothing."""
    stack = trial.stack
    other = replace(stack.kafka, topic_prefix=OTHER_PREFIX)
    asyncio.run(deployed.apply(other, TopicSettings(partitions=PARTITIONS)))
    _copy_topics(stack, other)
    known = stack.query("SELECT * FROM _logs ORDER BY id")
    environ = {
        **stack.environ(prefix=OTHER_PREFIX),
        **trial.scenario.environ,
        "SEQUENCE_WORKER_DIR": str(stack.state.parent / "other"),
        "SEQUENCE_WORKER_SESSION_SECONDS": "6",
    }
    try:
        done = subprocess.run(
            command("sink", environ), env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        code, text = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as expired:
        code, text = 0, str(expired.stderr)
    refused = code == os.EX_CONFIG and "SEQUENCE_CLICKHOUSE_DATABASE" in text
    trial.violations["two prefixes: not refused"] = int(not refused)
    trial.violations["two prefixes: logs added"] = int(known != stack.query("SELECT * FROM _logs ORDER BY id"))
    trial.notes.append(
        f"two prefixes: exit code {code}: {text.strip().splitlines()[-1][-300:] if text.strip() else ''}"
    )


def _copy_topics(stack: Stack, other: KafkaSettings) -> None:
    """Write what the topics have to those of another prefix, so much that no offset shows that they are others."""
    ours, theirs = Topics(stack.kafka.topic_prefix), Topics(other.topic_prefix)
    items, persons = logs.read(stack.kafka, ours.items), logs.read(stack.kafka, ours.persons)
    logs.write(other, theirs.items, [Record(record.key, record.value) for record in items * COPIES])
    logs.write(other, theirs.persons, [Record(record.key, record.value) for record in persons * COPIES])
    ends = logs.ends(stack.kafka, ours.items)
    logs.write(
        other,
        theirs.events,
        [
            Record(record.key, record.value, event_headers(message_id, int(origin) + ends[record.partition]))
            for record in logs.read(stack.kafka, ours.events)
            for message_id, origin in [_headers(record)]
        ],
    )


def _headers(record: Any) -> tuple[bytes, bytes]:
    headers = dict(record.headers)
    return headers["message_id"], headers["origin"]


def forgetting_offsets(trial: Trial) -> None:
    """Delete the groups' committed offsets while their workers are down, as Kafka does after a week."""
    stack = trial.stack
    for kind in WORKERS:
        group = f"{stack.kafka.topic_prefix}-{kind}"
        with stack.held(*stack.services(kind)):
            eventually(lambda group=group: _delete_group(stack, group), f"{group} is forgotten", every_seconds=1.0)  # type: ignore[misc]
            time.sleep(2)
    time.sleep(5)


def expiring_unread(trial: Trial) -> None:
    """Let events expire that the sinks have not read, and forget the group; the sinks must refuse, and say what to do.

    What they say is done then: rows that no longer exist are given up, and everything else is stored.
    """
    stack = trial.stack
    topics = Topics(stack.kafka.topic_prefix)
    sinks, group = stack.services("sink"), f"{stack.kafka.topic_prefix}-sink"
    with stack.held(*sinks):
        time.sleep(4)
        trial.client.stop()
        eventually(lambda: _is_still(stack, topics.events), "every event is on events.v1", every_seconds=2.0)
        unread = _source_offsets(stack, topics.events) - {
            place for table in ITEM_TABLES for place in rows_of(stack, table)
        }
        asyncio.run(_expire(stack, topics.events))
        eventually(lambda: _delete_group(stack, group), f"{group} is forgotten", every_seconds=1.0)
    before = len(rows_of(stack, "events"))
    trial.client.start(rate=trial.scenario.rate)
    refusing = sum(_refuses(stack, sink, EXPIRED) for sink in sinks[:1])
    trial.violations["expired unread: not refused"] = int(not refusing)
    trial.violations["expired unread: rows written in spite of it"] = len(rows_of(stack, "events")) - before
    with stack.held(*sinks):
        trial.ledger.maybe_deleted |= unread
        for partition in range(PARTITIONS):
            eventually(lambda number=partition: _accept(trial, number), "the loss is accepted", every_seconds=1.0)  # type: ignore[misc]
    trial.notes.append(f"{len(unread)} events expired unread")


def _accept(trial: Trial, partition: int) -> bool:
    done = trial.stack.command(*ACCEPT, str(partition), "--yes")
    if done.returncode:
        trial.notes[-1:] = [f"accept: {done.stderr.strip()[-200:]}"]
    return done.returncode == 0


def _is_still(stack: Stack, topic: str) -> bool:
    before = logs.ends(stack.kafka, topic)
    time.sleep(2)
    return logs.ends(stack.kafka, topic) == before


def _source_offsets(stack: Stack, topic: str) -> set[SourceOffset]:
    return {(record.partition, int(dict(record.headers)["origin"])) for record in logs.read(stack.kafka, topic)}


async def _expire(stack: Stack, topic: str) -> None:
    """Delete every record of *topic*, as retention does."""
    async with AIOKafkaConsumer(topic, **kafka_arguments(stack.kafka)) as reader:
        ends = await reader.end_offsets(reader.assignment())
    admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(end) for tp, end in ends.items()})
    finally:
        await admin.close()


def adding_partitions(trial: Trial) -> None:
    """Raise the partitions of all topics: each process must refuse after a restart; the same tracks count once."""
    stack = trial.stack
    tracks = [_track(number) for number in range(SAME_TRACKS)]
    trial.client.send(tracks)
    trial.client.stop()
    eventually(lambda: _rows_of_same(stack) == SAME_TRACKS, "the tracks are stored", within_seconds=60)
    asyncio.run(_add_partitions(stack))
    time.sleep(10)  # Running clients learn of the new partitions.
    trial.client.send(tracks)
    services = [service for kind in ("gateway", *WORKERS) for service in stack.services(kind)]
    for service in services:
        stack.kill(service)
    refusing = 0
    for service in services:
        refusing += _refuses(stack, service, PARTITIONS_CHANGED)
    trial.violations["partitions added: services that did not refuse"] = len(services) - refusing
    # Whatever answers may take them; no answer is as good as a rejection.
    trial.client.send(tracks, resend_for_seconds=5)
    time.sleep(10)
    trial.violations["partitions added: tracks counted twice"] = _rows_of_same(stack) - SAME_TRACKS
    trial.notes.append(f"{refusing} of {len(services)} services refused after partitions were added")


def _refuses(stack: Stack, service: str, reason: str) -> bool:
    """Return whether *service* exits and says *reason*."""

    def refused() -> bool:
        log = stack.log(service)
        return reason in log and (service.startswith("gateway") or f"{EXIT}{os.EX_CONFIG}" in log)

    try:
        eventually(refused, f"{service} refuses", within_seconds=60)
    except AssertionError:
        return False
    return True


def _track(number: int) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": f"same-{number}",
        "userId": "ada",
        "event": "Order Completed",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "properties": {"number": number},
    }


def _rows_of_same(stack: Stack) -> int:
    return len(rows_of(stack, "events", "startsWith(message_id, 'same-')"))


def _delete_group(stack: Stack, group: str) -> bool:
    """Delete *group* with its offsets; return False while it has members."""

    async def delete() -> bool:
        admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
        await admin.start()
        try:
            coordinator = await admin.find_coordinator(group)
            response = await admin._send_request_to_node(coordinator, DeleteGroupsRequest([group]))  # no public call
            return all(code in {0, 69} for _, code in _results(response))
        finally:
            await admin.close()

    return asyncio.run(delete())


def _results(response: object) -> Sequence[tuple[str, int]]:
    results: Sequence[tuple[str, int]] = response.results  # type: ignore[attr-defined]
    return results


async def _add_partitions(stack: Stack) -> None:
    topics = Topics(stack.kafka.topic_prefix)
    names = (topics.items, topics.events, topics.duplicates, topics.identifies, topics.persons, topics.rejected)
    admin = AIOKafkaAdminClient(**kafka_arguments(stack.kafka))
    await admin.start()
    try:
        have = {topic["topic"] for topic in await admin.describe_topics()}
        more = {name: NewPartitions(PARTITIONS + ADDED) for name in names if name in have}
        await admin.create_partitions(more)
    finally:
        await admin.close()


DEPLOYMENT = (
    ("two prefixes", using_two_prefixes),
    ("offsets forgotten", forgetting_offsets),
    ("expired unread", expiring_unread),
)
