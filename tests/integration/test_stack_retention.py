"""Retention by the clock: a whole stack whose clock is moved on 31 days while it runs, that of the broker too.

The engine of ClickHouse asks the kernel for the time, so its clock is right throughout, and that of all other processes
is behind at first. Rows leave once the whole week of their receipt is older than the days of their project, so the
stack begins on the last day of a week.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.local_stack import Stack
from tests.support.moved_clock import MovedClock
from tests.support.services import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

DAY = 86_400
TABLES = ("events", "identifies", "duplicates", "rejected")
PROJECTS = {"short": "30d", "long": "90d", "dev": "unlimited"}
KEPT_EVENT, SHORT_EVENT = "Order Completed", "Page Viewed"
"""The second is kept for 30 days in `dev`."""
COUNT = 40
"""Items of each kind and project."""


@pytest.fixture
def clock(tmp_path: Path) -> MovedClock:
    """A clock that shows noon of the last Sunday that is more than 31 days ago."""
    made = MovedClock(tmp_path)
    now = int(time.time())
    days = (now - 31 * DAY - DAY // 2) // DAY
    sunday = days - (days + 4) % 7  # 1 January 1970 was a Thursday
    made.move(sunday * DAY + DAY // 2 - now)
    return made


@pytest.fixture
def stack(tmp_path: Path, clock: MovedClock) -> Iterator[Stack]:
    made = Stack(tmp_path)
    made.environ.update(clock.environ)
    made.start()
    yield made
    made.kill()


def sequence(stack: Stack, *arguments: str) -> str:
    """What the command prints, by the clock of *stack*."""
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    done = subprocess.run(command, env=stack.environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def keep_records(stack: Stack) -> None:
    """Let Kafka keep every record, so that a refill could write rows again that have left."""
    topics = ("items", "events", "identifies", "duplicates", "rejected")

    async def change() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{stack.environ['SEQUENCE_LOCAL_KAFKA_PORT']}")
        await admin.start()
        try:
            kept = {"retention.ms": "-1"}
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, f"sequence.{topic}.v1", kept) for topic in topics]
            )
        finally:
            await admin.close()

    asyncio.run(change())


def send(stack: Stack, token: str, prefix: str) -> None:
    """Send COUNT items of each kind, half of the tracks twice."""
    numbers = range(COUNT)
    tracks = [
        {"type": "track", "event": event, "userId": f"u{number}", "messageId": f"{prefix}-{event}-{number}"}
        for event in (KEPT_EVENT, SHORT_EVENT)
        for number in numbers
    ]
    persons = [{"type": "identify", "userId": f"u{number}", "traits": {"n": number}} for number in numbers]
    invalid = [{"type": "track", "event": "", "userId": f"u{number}"} for number in numbers]
    for batch in (tracks + persons + invalid, tracks[::2]):
        request = urllib.request.Request(  # http
            f"http://127.0.0.1:{stack.gateway}/event/batch",
            json.dumps({"batch": batch}).encode(),
            {"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
            assert response.status == 200


def rows(stack: Stack) -> Counter[tuple[str, str, str]]:
    """The number of rows by table, project and event."""
    found: Counter[tuple[str, str, str]] = Counter()
    for table in TABLES:
        event = "event" if table in {"events", "duplicates"} else "''"
        sql = f"SELECT project_id, {event} AS event, count() AS n FROM {table} GROUP BY ALL"  # noqa: S608  # our own names
        for row in stack.clickhouse.rows(sql):
            found[table, row["project_id"], row["event"]] = int(row["n"])
    return found


def expected(projects: Mapping[str, tuple[str, ...]], times: int = 1) -> dict[tuple[str, str, str], int]:
    """The rows of *projects*, by their events, after *times* calls of `send`."""
    found = {}
    for project, events in projects.items():
        for event in events:
            found["events", project, event] = COUNT * times
            found["duplicates", project, event] = COUNT // 2 * times
        for table in ("identifies", "rejected"):
            found[table, project, ""] = COUNT * times
    return found


def until(stack: Stack, wanted: Mapping[tuple[str, str, str], int], what: str) -> None:
    eventually(lambda: rows(stack) == wanted, what, within_seconds=120, output=lambda: f"{rows(stack)}\n{wanted}")


def test_31_days_later_exactly_the_rows_of_30_days_have_left(stack: Stack, clock: MovedClock) -> None:
    keep_records(stack)
    tokens = {"dev": stack.secrets()["dev-token"]}
    for project, days in PROJECTS.items():
        if project not in tokens:
            sequence(stack, "project", "create", project)
            tokens[project] = sequence(stack, "token", "create", project).split()[0]
        sequence(stack, "project", "update", project, "--retention", days)
    sequence(stack, "project", "update", "dev", "--retention-event", f"{SHORT_EVENT}=30d")
    both = (KEPT_EVENT, SHORT_EVENT)
    every = dict.fromkeys(PROJECTS, both)
    for project, token in tokens.items():
        eventually(lambda token=token: is_accepted(stack, token), f"{project} is known")  # type: ignore[misc]
        send(stack, token, "first")
    until(stack, expected(every), "every row is stored")
    leave = json.loads(sequence(stack, "retention", "show", "--json"))
    assert {each["project"]: each["days"] for each in leave} == {"short": 30, "long": 90, "dev": None}
    persons = stack.clickhouse.query("SELECT count() FROM persons")

    clock.move(31 * DAY)
    time.sleep(2)
    os.kill(stack.pid("sink-1"), signal.SIGKILL)  # It looks for expired rows once an hour, and when it starts.
    kept = {"long": both, "dev": (KEPT_EVENT,)}
    until(stack, expected(kept), "exactly the rows of 30 days have left")
    left = {"short": sum(expected({"short": both}).values()), "dev": COUNT + COUNT // 2}
    eventually(lambda: removed(stack) == left, "the ledger counts them", output=lambda: str(removed(stack)))
    assert stack.clickhouse.query("SELECT count() FROM persons") == persons

    for token in tokens.values():
        send(stack, token, "second")
    later = Counter(expected(kept)) + Counter(expected(every))
    until(stack, later, "later rows are stored")
    audit = json.loads(sequence(stack, "audit", "--refill", "--json"))
    assert (audit["addsUp"], audit["missing"], audit["written"]) == (True, 0, 0)

    assert stack.send(signal.SIGTERM) == 0
    stack.start()
    send(stack, tokens["short"], "third")
    until(stack, later + Counter(expected({"short": both})), "nothing comes back")
    assert stack.clickhouse.query("SELECT count() FROM persons") == persons


def removed(stack: Stack) -> dict[str, int]:
    """The number of rows that retention removed, by project."""
    sql = "SELECT project_id, sum(removed) AS n FROM ledger GROUP BY project_id HAVING n > 0"
    return {row["project_id"]: int(row["n"]) for row in stack.clickhouse.rows(sql)}


def is_accepted(stack: Stack, token: str) -> bool:
    """Whether the gateway knows *token*."""
    request = urllib.request.Request(  # http
        f"http://127.0.0.1:{stack.gateway}/event/batch", b"{", {"Authorization": f"Bearer {token}"}
    )
    try:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310  # as above
    except urllib.error.HTTPError as error:
        return error.code == 400
    return False
