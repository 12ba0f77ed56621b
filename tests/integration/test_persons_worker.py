"""The persons worker as a process, on a real broker: persons equal the fold of all identifies despite failures."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import msgspec
import pytest

from processors.engine.rocksdb import PartitionStore, StoreConfig
from schemas.items import Identify, Rejection
from schemas.persons import Person, decode_person, fold
from schemas.records import Record, encode_item, identify_headers, identify_record, person_key
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support import logs
from tests.support.marks import in_make_faults
from tests.support.records import identify, track
from tests.support.services import eventually
from tests.support.worker_process import Worker

USERS = 20


def history() -> list[Identify]:
    """Return 300 identifies of 20 users in random order of time."""
    chance = random.Random(7)
    made = []
    for number in range(300):
        traits = chance.choice([b'{"name":"n%d"}' % number, b'{"name":null}', b'{"plan":%d,"tags":[1]}' % number])
        time = f"2026-01-01T00:{chance.randrange(60):02d}:00.000000Z"
        made.append(identify(f"m{number}", user_id=f"u{chance.randrange(USERS)}", traits=traits, timestamp=time))
    return made


def records_of(identifies: Sequence[Identify]) -> list[Record]:
    """Return *identifies* as the dedupe worker writes them."""
    return [identify_record(item, encode_item(item), source_offset=n, partition=0) for n, item in enumerate(identifies)]


def reference(identifies: Sequence[Identify]) -> dict[bytes, Person]:
    """Return every person, folded one identify at a time."""
    persons = {}
    for user in {item.user_id for item in identifies}:
        mine = [item for item in identifies if item.user_id == user]
        persons[person_key("p", user)] = reduce(fold, mine[1:], fold(None, mine[0]))
    return persons


def plain(person: Person) -> tuple[object, ...]:
    traits = {name: bytes(value) for name, value in person.traits.items()}
    return traits, person.stamps, person.first_seen, person.last_seen


def latest(settings: KafkaSettings, topics: Topics) -> dict[bytes, tuple[object, ...]]:
    """Return the newest state of each person on `persons.v1`."""
    return {record.key: plain(decode_person(record.value)) for record in logs.read(settings, topics.persons)}


def run_until_folded(settings: KafkaSettings, topics: Topics, worker: Worker, count: int) -> None:
    group = f"{topics.prefix}-persons"
    worker.until(lambda: logs.committed(settings, group, topics.identifies) == count, "all identifies are folded")


@pytest.mark.parametrize("point", ["produced:2", "applied:1", *in_make_faults("processed:3")])
def test_killed_worker_changes_no_person(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path, point: str
) -> None:
    items = history()
    logs.write(kafka_settings, topics.identifies, records_of(items))
    with Worker("persons", kafka_settings, tmp_path, faults={"SEQUENCE_TEST_KILL_AT": point}) as worker:
        run_until_folded(kafka_settings, topics, worker, len(items))
        assert worker.exits == 1, worker.log
    expected = {key: plain(person) for key, person in reference(items).items()}
    assert latest(kafka_settings, topics) == expected


def test_deleted_local_state_is_rebuilt_from_the_log(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    items = history()
    half = len(items) // 2
    records = records_of(items)
    logs.write(kafka_settings, topics.identifies, records[:half])
    with Worker("persons", kafka_settings, tmp_path) as worker:
        run_until_folded(kafka_settings, topics, worker, half)
    shutil.rmtree(worker.state)
    logs.write(kafka_settings, topics.identifies, records[half:])
    with Worker("persons", kafka_settings, tmp_path) as worker:
        run_until_folded(kafka_settings, topics, worker, len(items))
        assert worker.exits == 0

    expected = {key: plain(person) for key, person in reference(items).items()}
    assert latest(kafka_settings, topics) == expected
    stored: dict[bytes, bytes] = {}
    for path in (worker.state / "persons").iterdir():
        state = PartitionStore(path, StoreConfig())
        stored |= state.entries()
        state.close()
    assert {key: plain(decode_person(value)) for key, value in stored.items()} == expected


@pytest.mark.parametrize("without", ["", "join"])
def test_resumed_worker_loses_no_trait_unless_replay_does_not_merge(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path, without: str
) -> None:
    items = history()
    half = len(items) // 2
    records = records_of(items)
    expected = {key: plain(person) for key, person in reference(items).items()}
    logs.write(kafka_settings, topics.identifies, records[:half])
    paused = Worker("persons", kafka_settings, tmp_path / "paused", faults={"SEQUENCE_TEST_STOP_AT": "decided:4"})
    environ = {"SEQUENCE_WORKER_STALL_SECONDS": "10", "SEQUENCE_TEST_WITHOUT": without}
    other = Worker("persons", kafka_settings, tmp_path / "other", environ=environ)
    with paused:
        eventually(lambda: paused.stopped, "the worker is stopped with persons in memory")
        with other:
            logs.write(kafka_settings, topics.identifies, records[half:])
            run_until_folded(kafka_settings, topics, other, len(items))
            assert other.exits == 0
            paused.resume()
            eventually(lambda: not paused.running, "the worker resumes, writes and exits")
            assert latest(kafka_settings, topics) != expected, "its records are the last ones in the log"

            other.until(lambda: other.exits == 1, "the owner has detected the other writer")
            assignments = other.log.count("identifies.v1: partitions assigned")
            other.until(lambda: other.log.count("identifies.v1: partitions assigned") > assignments, "it has recovered")
            assert (latest(kafka_settings, topics) == expected) == (without == "")


def test_rejected_identify_names_its_item_and_leaves_the_person(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    half = b'"%s"' % (b"x" * 500_000)
    first, second = (identify(f"m{n}", traits=b'{"half%d":%s}' % (n, half)) for n in range(2))
    records = [
        identify_record(first, encode_item(first), source_offset=40, partition=2),
        identify_record(second, encode_item(second), source_offset=70, partition=3),
        Record(person_key("p", "u"), encode_item(track("t")), identify_headers(b"t", 71, 1)),
    ]
    logs.write(kafka_settings, topics.identifies, records)
    with Worker("persons", kafka_settings, tmp_path) as worker:
        run_until_folded(kafka_settings, topics, worker, len(records))

    written = logs.read(kafka_settings, topics.rejected)
    rejections = [msgspec.json.decode(record.value, type=Rejection) for record in written]
    assert sorted((each.code, each.source_topic, each.source_partition, each.source_offset) for each in rejections) == [
        ("not_an_item", "items.v1", 1, 71),
        ("person_too_large", "items.v1", 3, 70),
    ]
    [person] = latest(kafka_settings, topics).values()
    assert person == plain(fold(None, first))
