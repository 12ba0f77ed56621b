"""`sequence erase` on a whole stack, with a sink that is killed, and after a command that is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner

from deploy.cli import main
from deploy.errors import OperateError
from tests.support.file_search import files_with
from tests.support.local_stack import Stack
from tests.support.services import eventually

pytestmark = pytest.mark.timeout(400)

ERASED, OTHER = (f"user-{secrets.token_hex(12)}" for _ in range(2))
NOT_COMPACTED = {"items.v1", "events.v1", "identifies.v1", "duplicates.v1", "rejected.v1"}
_TOPIC = re.compile(r"sequence\.(\w+\.v1)-\d+")
AT_ONCE = {
    "segment.ms": "1000",
    "delete.retention.ms": "1",
    "file.delete.delay.ms": "1000",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "2000",
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "compact",
}
"""Settings of `persons.v1` with which Kafka compacts within seconds."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.start()
    yield made
    made.kill()


def sequence(stack: Stack, *arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments), env=stack.environ)
    assert result.exit_code == 0, result.output
    return result.stdout


def send(stack: Stack, *items: dict[str, Any]) -> None:
    request = urllib.request.Request(  # http
        f"http://127.0.0.1:{stack.gateway}/event/batch",
        json.dumps({"batch": items}).encode(),
        {"Authorization": f"Bearer {stack.secrets()['dev-token']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
        assert response.status == 200


def of(user: str) -> list[dict[str, Any]]:
    """Items of *user* for every table."""
    event = {"type": "track", "event": "Opened", "userId": user, "messageId": secrets.token_hex(8)}
    person = {"type": "identify", "userId": user, "messageId": secrets.token_hex(8), "traits": {"name": user}}
    return [event, event, person, {"type": "track", "userId": user, "event": ""}]


def compact_at_once(stack: Stack) -> None:
    async def change() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{stack.environ['SEQUENCE_LOCAL_KAFKA_PORT']}")
        await admin.start()
        try:
            await admin.alter_configs(
                [
                    ConfigResource(ConfigResourceType.TOPIC, "sequence.persons.v1", AT_ONCE),
                    ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "500"}),
                ]
            )
        finally:
            await admin.close()

    asyncio.run(change())


def places(stack: Stack, user: str) -> set[str]:
    """Where *user* is below the state directory: a topic, or the folder of a server or a worker."""
    return {_place(path) for path in files_with(stack.state, user.encode())}


def _place(path: Path) -> str:
    topic = next((match[1] for part in path.parts if (match := _TOPIC.fullmatch(part))), None)
    return topic or "/".join(path.parts[:3])


def count(stack: Stack, table: str, user: str) -> int:
    # No log of statements may have the user.
    statement = f"SELECT count() FROM {table} WHERE hex(user_id) = '{user.encode().hex().upper()}' FORMAT TSV"  # noqa: S608
    return int(stack.clickhouse.query(statement))


def erasures(stack: Stack) -> list[dict[str, Any]]:
    """The erasures, the newest first."""
    found: list[dict[str, Any]] = json.loads(sequence(stack, "erase", "status", "--json"))
    return found


def until(stack: Stack, condition: Callable[[], bool], what: str, within_seconds: float = 60) -> None:
    eventually(
        condition,
        what,
        within_seconds=within_seconds,
        every_seconds=1,
        output=lambda: sequence(stack, "erase", "status"),
    )


def send_of_others(stack: Stack) -> None:
    """A segment of `persons.v1` ends with a later record, and an INSERT lets ClickHouse remove files."""
    others = ({"type": "identify", "userId": f"u{number}"} for number in range(30))
    send(stack, *of("another"), *(other | {"traits": {"n": secrets.token_hex(4)}} for other in others))


def test_no_file_has_an_erased_user_but_topics_that_are_not_compacted(stack: Stack) -> None:
    compact_at_once(stack)
    send(stack, *of(ERASED), *of(OTHER))
    rows = {"events": 1, "identifies": 1, "duplicates": 1, "rejected": 1, "persons": 1}

    def stored() -> bool:
        return all(count(stack, table, user) == 1 for table in rows for user in (ERASED, OTHER))

    until(stack, stored, "every table has the users")
    before = places(stack, ERASED)
    assert before >= {*NOT_COMPACTED, "persons.v1", "workers/persons-1/persons"}
    assert any(place.startswith("clickhouse/") for place in before)
    found = json.loads(sequence(stack, "erase", "--project", "dev", "--user", ERASED, "--dry-run", "--json"))
    assert {each["in"]: each["found"] for each in found} == {
        **{f"table {table}": 1 for table in ("events", "identifies", "duplicates", "rejected", "person_states")},
        **{f"topic {name}": 1 for name in ("duplicates.v1", "identifies.v1", "persons.v1", "rejected.v1")},
        "topic items.v1": 3,
        "topic events.v1": 2,
    }

    sequence(stack, "erase", "--project", "dev", "--user", ERASED, "--suppress", "--yes")
    os.kill(stack.pid("sink-1"), signal.SIGKILL)
    until(stack, lambda: erasures(stack)[0]["status"] != "removing", "the rows are invisible")
    assert [count(stack, table, ERASED) for table in rows] == [0] * len(rows)
    assert erasures(stack)[0]["rows"] == {"person_states" if name == "persons" else name: 1 for name in rows}
    send(stack, *of(ERASED))
    assert "Suppressed   1 users" in sequence(stack, "project", "show", "dev")

    def forgotten() -> bool:
        send_of_others(stack)
        # ClickHouse removes the files of replaced parts after 8 minutes: `test_erasure_pass` has what precedes it.
        elsewhere = {place for place in places(stack, ERASED) if not place.startswith("clickhouse/")}
        return elsewhere <= NOT_COMPACTED

    # Kafka has compacted persons.v1, and the worker `persons` its local state.
    until(stack, forgotten, "no other file of Kafka and of a worker has the user", 200)
    assert places(stack, OTHER) >= {"persons.v1", "workers/persons-1/persons"}
    assert [count(stack, table, OTHER) for table in rows] == list(rows.values())


def test_interrupted_command_is_finished_by_the_next(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """More users than a statement and a batch of records have."""

    async def interrupted(*_: object) -> None:
        raise OperateError("The test interrupts the command.")

    users = tmp_path / "users"
    users.write_text("\n".join([OTHER, *(f"another-{number}" for number in range(1_200))]))
    erase = ("erase", "--project", "dev", "--users-from", str(users), "--suppress", "--yes", "--json")
    with monkeypatch.context() as patched:
        patched.setattr("deploy.operate.erase._tell_persons", interrupted)
        assert CliRunner().invoke(main, list(erase), env=stack.environ).exit_code == 1
    until(stack, lambda: "run it again" in (erasures(stack)[0]["waitsFor"] or ""), "the command is waited for")

    [again] = json.loads(sequence(stack, *erase))
    names = {again["id"], *again["finished"]}
    assert (len(names), again["users"]) == (2, 1_201)
    assert "Suppressed   1,202 users" in sequence(stack, "project", "show", "dev")
    allowed = sequence(stack, "erase", "allow", "--project", "dev", "--user", OTHER, "--user", "nobody")
    assert allowed == "1 of 2 were suppressed. Their items are accepted again.\n"

    def invisible() -> bool:
        return all(each["status"] != "removing" for each in erasures(stack) if each["id"] in names)

    until(stack, invisible, "both are invisible")
    assert count(stack, "events", OTHER) == 0
