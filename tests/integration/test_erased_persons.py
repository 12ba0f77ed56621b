"""Erasure by the persons worker as a process, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from processors.engine.offsets import read_cluster_id
from schemas.erasure import Erasure, user_digest
from schemas.field_rules import HashKey
from schemas.items import Identify, Rejection
from schemas.persons import Person, decode_person
from schemas.projects import Entry, ProjectCreation, encode_entry
from schemas.records import Record, encode_item, erase_record, identify_record
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support import logs
from tests.support.records import identify
from tests.support.services import eventually
from tests.support.worker_process import Worker

HASH_KEY = b"k" * 32
USERS = ("ann", "bob", "eve")


def item(offset: int, user: str) -> Identify:
    return identify(f"m{offset}", user_id=user, traits=b'{"name":"%s","n":%d}' % (user.encode(), offset))


def identifies(offsets: Sequence[int], user: str) -> list[Record]:
    """Return the identifies of *user* with these source offsets of partition 0."""
    return [
        identify_record(each, encode_item(each), source_offset=offset, partition=0)
        for offset in offsets
        for each in [item(offset, user)]
    ]


def create_project(settings: KafkaSettings, topics: Topics) -> None:
    entries: list[tuple[Entry, str]] = [(ProjectCreation("p", "Shop", 1), "0" * 16), (HashKey(HASH_KEY), "1" * 16)]
    logs.write(settings, topics.projects, [Record(*encode_entry(entry, "p", part)) for entry, part in entries])


def erase(settings: KafkaSettings, topics: Topics, users: Sequence[str], cut: int) -> list[Record]:
    """Write the erasure of *users* that covers the source offsets below *cut*; return its records for persons."""
    cluster_id = asyncio.run(read_cluster_id(settings))
    digests = tuple(user_digest(HASH_KEY, user) for user in users)
    erasure = Erasure(7, digests, cluster_id, 1, (cut,), (0,))
    logs.write(settings, topics.projects, [Record(*encode_entry(erasure, "p", "2" * 16))])
    return [erase_record("p", user, 7) for user in users]


def newest(settings: KafkaSettings, topics: Topics) -> dict[str, Person | None]:
    """Return the newest record of each user on `persons.v1`."""
    return {
        record.key.decode().partition("/")[2]: None if record.value is None else decode_person(record.value)
        for record in logs.read(settings, topics.persons)
    }


def until_folded(settings: KafkaSettings, topics: Topics, worker: Worker, count: int) -> None:
    group = f"{topics.prefix}-persons"
    worker.until(lambda: logs.committed(settings, group, topics.identifies) == count, "all identifies are folded")


def test_erased_person_is_gone_and_returns_with_new_identifies_alone(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    create_project(kafka_settings, topics)
    first = [record for number, user in enumerate(USERS) for record in identifies([number], user)]
    logs.write(kafka_settings, topics.identifies, first)
    with Worker("persons", kafka_settings, tmp_path) as worker:
        until_folded(kafka_settings, topics, worker, 3)
        erasing = erase(kafka_settings, topics, ["ann", "bob"], cut=10)
        # A command that was killed writes its records again, and dedupe writes identifies late and again.
        late = [*identifies([0, 4], "ann"), *identifies([11], "bob"), *erasing, *identifies([5], "bob")]
        of_no_erasure = erase_record("p", "eve", 7)
        logs.write(kafka_settings, topics.identifies, [*erasing, *late, of_no_erasure])
        until_folded(kafka_settings, topics, worker, 3 + 2 + len(late) + 1)
        assert worker.exits == 0, worker.log

    persons = newest(kafka_settings, topics)
    assert persons["ann"] is None
    assert persons["bob"] is not None
    assert persons["eve"] is not None
    assert [
        {name: bytes(value) for name, value in each.traits.items()} for each in (persons["bob"], persons["eve"])
    ] == [
        {"name": b'"bob"', "n": b"11"},
        {"name": b'"eve"', "n": b"2"},
    ]
    assert (persons["bob"].erased, persons["eve"].erased) == (7, 0)
    rejections = [
        msgspec.json.decode(each.value, type=Rejection) for each in logs.read(kafka_settings, topics.rejected)
    ]
    assert [(each.code, each.message) for each in rejections] == [
        ("not_an_item", "No erasure of this user was requested at this time.")
    ]


def test_resumed_worker_does_not_restore_an_erased_person(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    create_project(kafka_settings, topics)
    logs.write(kafka_settings, topics.identifies, identifies([0], "ann"))
    paused = Worker("persons", kafka_settings, tmp_path / "paused", faults={"SEQUENCE_TEST_STOP_AT": "decided:2"})
    environ = {"SEQUENCE_WORKER_STALL_SECONDS": "10"}
    other = Worker("persons", kafka_settings, tmp_path / "other", environ=environ)
    with paused:
        until_folded(kafka_settings, topics, paused, 1)
        logs.write(kafka_settings, topics.identifies, identifies([1], "ann"))
        eventually(lambda: paused.stopped, "the worker is stopped with the person in memory")
        with other:
            logs.write(kafka_settings, topics.identifies, erase(kafka_settings, topics, ["ann"], cut=10))
            until_folded(kafka_settings, topics, other, 3)
            assert newest(kafka_settings, topics) == {"ann": None}
            paused.resume()
            eventually(lambda: not paused.running, "the worker resumes, writes and exits")
            assert newest(kafka_settings, topics)["ann"] is not None, "its record is the last one in the log"

            other.until(lambda: other.exits == 1, "the owner has detected the other writer")
            assignments = other.log.count("identifies.v1: partitions assigned")
            other.until(lambda: other.log.count("identifies.v1: partitions assigned") > assignments, "it has recovered")
            assert newest(kafka_settings, topics) == {"ann": None}
