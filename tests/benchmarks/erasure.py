"""Erases 1,000 of 100,000 users among 10,000,000 events under load: `python -m tests.benchmarks.erasure`.

A tenth of the events arrives through the gateway, so Kafka and the workers have it too. The others are older than Kafka
keeps records: they are made inside ClickHouse, as rows of an earlier Kafka. The whole pipeline is measured before,
during and after the erasure. The IDs of the erased users begin with random text, which is searched for in every file of
the stack.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from tests.benchmarks.datagen import ItemGenerator
from tests.benchmarks.loadgen import Load, paced
from tests.support.file_search import files_with
from tests.support.local_stack import Stack

BATCH = 500
CONNECTIONS = 16
OFFERED_PER_SECOND = 33_000
"""As of the whole pipeline in `make bench`: more than it stores."""
LOG = 0
"""That of a Kafka before the present one, whose log is the first."""
BLOCK_ROWS = 1_000_000
_INSERT = """
INSERT INTO events
    (project_id, event, user_id, message_id, timestamp, received_at, properties, _log, _partition, _origin)
SELECT 'dev', concat('Event ', toString(number % 20)), {user}, toString(generateUUIDv4()), at, at,
    CAST(concat('{"price":', toString(rand(2) % 100000 / 100), ',"sku":"sku-', toString(rand(3) % 1000),
    '","first":', ['true', 'false'][rand(4) % 2 + 1], '}') AS JSON(max_dynamic_paths=8)), {log}, number % 4, number
FROM (SELECT number, now64(6) - toIntervalDay(8 + rand(1) % 50) AS at FROM numbers({first}, {count}))
SETTINGS max_partitions_per_insert_block = 100
"""
_STATUS = "SELECT argMax(status, _version) FROM erasures"
"""Asked without a command, whose start would take time from the pipeline."""
_SHOWN_SECONDS = 5.0


class Users:
    """The users, of whom the first ones are erased: their IDs begin with `prefix`."""

    def __init__(self, count: int, erased: int) -> None:
        self.prefix = f"gone-{secrets.token_hex(8)}-"
        self.count = count
        self.erased = [f"{self.prefix}{number}" for number in range(erased)]

    def name(self, number: int) -> str:
        """Return the ID of user *number*, modulo the number of users."""
        number %= self.count
        return self.erased[number] if number < len(self.erased) else f"user-{number}"

    def sql(self) -> str:
        """Return the same of the column `number`."""
        text = f"toString(number % {self.count})"
        return f"concat(if(number % {self.count} < {len(self.erased)}, '{self.prefix}', 'user-'), {text})"


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--erased", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=30, help="of each measurement of the pipeline")
    parser.add_argument("--minutes", type=int, default=15, help="to wait for the files")
    arguments = parser.parse_args()
    users = Users(arguments.users, arguments.erased)
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(Path(directory))
        stack.start()
        try:
            asyncio.run(_run(stack, users, arguments))
        finally:
            stack.kill()


async def _run(stack: Stack, users: Users, arguments: argparse.Namespace) -> None:
    began = perf_counter()
    sent = arguments.events // 10
    for first in range(0, arguments.events - sent, BLOCK_ROWS):
        count = min(BLOCK_ROWS, arguments.events - sent - first)
        values = {"user": users.sql(), "log": LOG, "first": first, "count": count}
        _execute(stack, _filled(_INSERT, values))
    await _send(stack, list(_bodies(users, sent)), "Sent", sent)
    _say(f"{arguments.events:,} events of {users.count:,} users in {perf_counter() - began:.0f} s")
    _say(f"rows of the users: {_rows(stack, users)}")
    _say(f"files with one of the IDs: {_files(stack, users)}")
    before = await _sustained(stack, arguments.seconds)
    requested = _erase(stack, users)
    during, invisible = [], 0.0
    while not invisible:
        # The last measurement may begin beside the erasure and end after it.
        measuring = asyncio.create_task(_sustained(stack, arguments.seconds))
        while not measuring.done():
            await asyncio.sleep(1.0)
            if not invisible and await asyncio.to_thread(_execute, stack, _STATUS) not in {"", "removing"}:
                invisible = time.monotonic() - requested
        during.append(await measuring)
    _say(f"invisible after {invisible:.0f} s; rows of the users: {_rows(stack, users)}")
    after = await _sustained(stack, arguments.seconds)
    ratio = min(during) / ((before + after) / 2)
    _say(f"items/s before {before:,.0f}, during {', '.join(f'{each:,.0f}' for each in during)}, after {after:,.0f}")
    _say(f"the slowest of those during the erasure is {ratio:.2f} x the mean of before and after")
    await _until_gone(stack, users, requested, arguments.minutes)


async def _sustained(stack: Stack, seconds: int) -> float:
    """Return items per second, from the first request to the last row, with 10 % duplicates and 5 % identifies."""
    generator = ItemGenerator()
    name = f"Load {secrets.token_hex(4)}"
    bodies = generator.bodies(OFFERED_PER_SECOND * seconds // BATCH, BATCH, duplicates=0.1, identifies=0.05)
    renamed = [body.replace(b'"event":"Event ', f'"event":"{name} '.encode()) for body in bodies]
    tracks = generator.made - sum(body.count(b'"identify"') for body in _distinct(renamed))
    took = await _send(stack, renamed, name, tracks, per_second=OFFERED_PER_SECOND)
    return len(bodies) * BATCH / took


def _distinct(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Yield each item of *bodies* once."""
    seen = set()
    for body in bodies:
        for item in json.loads(body)["batch"]:
            if item["messageId"] not in seen:
                seen.add(item["messageId"])
                yield json.dumps(item).encode()


def _bodies(users: Users, count: int) -> Iterator[bytes]:
    """Yield bodies with *count* tracks, and an identify for each user."""
    prefix = secrets.token_hex(6)
    for start in range(0, count, BATCH):
        batch: list[dict[str, Any]] = []
        for number in range(start, min(start + BATCH, count)):
            user = {"userId": users.name(number), "messageId": f"{prefix}-{number}"}
            properties = {"price": number % 1000 / 10, "sku": f"sku-{number % 997}", "first": False}
            batch.append({"type": "track", "event": f"Sent {number % 20}", **user, "properties": properties})
        yield json.dumps({"batch": batch}).encode()
    for start in range(0, users.count, BATCH):
        numbers = range(start, min(start + BATCH, users.count))
        persons = [{"type": "identify", "userId": users.name(number), "traits": {"n": number}} for number in numbers]
        yield json.dumps({"batch": persons}).encode()


async def _send(stack: Stack, bodies: Sequence[bytes], name: str, tracks: int, per_second: int = 0) -> float:
    """Post *bodies*, wait until *tracks* rows of events that begin with *name* exist, and return the seconds."""
    sql = f"SELECT count() FROM events WHERE project_id = 'dev' AND startsWith(event, '{name} ')"  # noqa: S608  # our own names
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(bodies))
        file.flush()
        url = f"http://127.0.0.1:{stack.gateway}/event/batch?verbose=0"
        token = stack.secrets()["dev-token"]
        began = perf_counter()
        rate = (per_second or OFFERED_PER_SECOND) / BATCH
        outcome = await paced(Load(url, token, file.name, CONNECTIONS, 3600, rate))
        if outcome.requests != len(bodies):
            raise SystemExit(f"{outcome.requests} of {len(bodies)} requests were answered.")
        while int(await asyncio.to_thread(_execute, stack, sql)) < tracks:
            if perf_counter() - began > 900:
                raise SystemExit(f"{name}: {tracks} rows do not exist after 900 s.")
            await asyncio.sleep(0.2)
        return perf_counter() - began


def _erase(stack: Stack, users: Users) -> float:
    """Request the erasure; return when it was requested."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(users.erased))
        file.flush()
        requested = time.monotonic()
        _command(stack, "erase", "--project", "dev", "--users-from", file.name, "--suppress", "--yes")
    _say(f"requested in {time.monotonic() - requested:.1f} s")
    return requested


def _status(stack: Stack) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(_command(stack, "erase", "status", "--json"))
    return found[0]


async def _until_gone(stack: Stack, users: Users, requested: float, minutes: int) -> None:
    """Say, as it changes, which files have an ID, until the erasure is proven or *minutes* have passed."""
    shown: object = None
    while time.monotonic() - requested < 60 * minutes:
        status = _status(stack)
        places = _files(stack, users)
        now = status["status"], status["waitsFor"], places
        if now != shown:
            seconds = time.monotonic() - requested
            _say(f"after {seconds:.0f} s {status['status']}, waits for {status['waitsFor']}: {places}")
        shown = now
        if status["status"] == "proven":
            return
        await asyncio.sleep(_SHOWN_SECONDS)


def _rows(stack: Stack, users: Users) -> dict[str, int]:
    """Return the rows of the erased users, and those that are masked only."""
    found = {}
    for table in ("events", "identifies", "persons"):
        condition = f"startsWith(user_id, '{users.prefix}')"
        found[table] = int(_execute(stack, f"SELECT count() FROM {table} WHERE {condition}"))  # noqa: S608  # our own names
    masked = f"SELECT count() FROM events WHERE startsWith(user_id, '{users.prefix}') SETTINGS apply_deleted_mask = 0"  # noqa: S608
    return {**found, "events with those that are masked": int(_execute(stack, masked))}


def _files(stack: Stack, users: Users) -> dict[str, int]:
    """Return the number of files that have an ID of an erased user, by what they belong to."""
    found = Counter(_owner(path) for path in files_with(stack.state, users.prefix.encode()))
    return dict(sorted(found.items()))


def _owner(path: Path) -> str:
    names = [part for part in path.parts if part.startswith("sequence.")]
    return names[0].rpartition("-")[0] if names else "/".join(path.parts[:2])


def _command(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    done = subprocess.run(command, env=stack.environ, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def _execute(stack: Stack, sql: str) -> str:
    return stack.clickhouse.query(sql)


def _filled(text: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _say(line: str) -> None:
    click.echo(line)


if __name__ == "__main__":
    main()
