"""Erasures and suppressions as records: what a repeated command finds, and what a table that was compacted has."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import UnknownProjectError
from gateway.projects import erasures
from schemas.erasure import Erasure, user_digest
from schemas.project_table import ProjectTable
from schemas.projects import ProjectCreation, encode_entry
from tests.fakes.projects_topic import MemoryProjectsTopic

USERS = tuple(bytes([number] * 16) for number in range(3))
WANTED = Erasure(100, USERS[:2], "cluster", 1, (7,), (8,))


async def topic_with(*records: tuple[bytes, bytes]) -> MemoryProjectsTopic:
    topic = MemoryProjectsTopic()
    await topic.append([encode_entry(ProjectCreation("p", "p", 1), "p", "0" * 16), *records])
    return topic


async def test_hash_key_is_created_once_and_is_the_same_after_a_compaction() -> None:
    topic = await topic_with()
    for _ in range(2):
        await topic.append(erasures.create_hash_key(await topic.read(), "p").records)
    keys = {table.projects["p"].hash_key for table in topic.tables()}

    assert len(topic.records) == 2
    assert len(keys) == 1
    assert user_digest(keys.pop(), "ada") != user_digest(b"", "ada")


async def test_suppression_changes_only_users_that_differ() -> None:
    topic = await topic_with()
    for suppressed, users, changed in ((True, USERS[:2], 2), (True, USERS, 1), (False, USERS[1:], 2)):
        change = erasures.suppress(await topic.read(), "p", users, suppressed=suppressed)
        assert change.result == changed
        await topic.append(change.records)

    assert all(table.projects["p"].suppressed == {USERS[0]} for table in topic.tables())


def test_unknown_project_is_refused() -> None:
    with pytest.raises(UnknownProjectError):
        erasures.create_hash_key(ProjectTable(), "p")


async def test_interrupted_erasure_is_finished_by_the_next_of_its_users() -> None:
    topic = await topic_with()
    name, begun, none = erasures.begin(await topic.read(), "p", WANTED)
    await topic.append(erasures.written("p", {name: begun}))
    assert none == {}

    # Of more users, and of another range.
    wider = msgspec.structs.replace(WANTED, users=USERS, since=5)
    assert erasures.begin(await topic.read(), "p", wider)[2] == {name: begun}
    assert erasures.begin(await topic.read(), "p", msgspec.structs.replace(WANTED, users=USERS[:1]))[2] == {}

    again, erasure, interrupted = erasures.begin(await topic.read(), "p", WANTED)
    assert again != name
    assert interrupted == {name: begun}
    assert erasure.requested_at == begun.requested_at + 1
    finished = {each: msgspec.structs.replace(found, identifies=(9,)) for each, found in interrupted.items()}
    await topic.append(erasures.written("p", finished))
    for table in topic.tables()[-1:]:
        assert table.erasures["p"] == finished
    assert erasures.begin(await topic.read(), "p", WANTED)[2] == {}


async def test_later_erasure_is_newer_whatever_the_clock() -> None:
    topic = await topic_with()
    name, begun, _ = erasures.begin(await topic.read(), "p", WANTED)
    await topic.append(erasures.written("p", {name: begun}))
    _, later, _ = erasures.begin(await topic.read(), "p", msgspec.structs.replace(WANTED, requested_at=50))

    assert later.requested_at == 101
