"""Runs the consumers that `docs/consumers.md` shows, as processes, with the helper copied beside them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

from schemas import sequence_consumer
from schemas.settings import KafkaSettings
from tests.support.documents import page

CONSUMERS = page("docs/consumers.md")
HELPER = Path(sequence_consumer.__file__)


def program(containing: str, settings: KafkaSettings, group: str = "") -> str:
    """Return the consumer of the page that contains *containing*, with the test's broker, topics and *group*."""
    source = CONSUMERS.block("python", containing)
    assert "127.0.0.1:9092" in source
    source = source.replace("127.0.0.1:9092", settings.bootstrap_servers)
    # The names of groups are shared by all tests of the broker.
    return source.replace('"sequence.', f'"{settings.topic_prefix}.').replace(
        '"orders"', f'"{settings.topic_prefix}{group}"'
    )


def killed(source: str, draws: Random) -> str:
    """Return the consumer with a database, killed within one of its first 20 transactions, or right after it."""
    within, after = "        before, after = stored[partition]", "    stored[partition] = after\n"
    assert source.count(within) == source.count(after) == 1
    kill = f"LEFT.pop() if len(LEFT) > 1 else __import__('signal').raise_signal({SIGKILL:d})"
    if draws.random() < 0.5:
        source = source.replace(within, f"        {kill}\n{within}")
    else:
        source = source.replace(after, f"{after}    {kill}\n")
    # Small transactions, so that there are many.
    source = source.replace("timeout_ms=1000", "timeout_ms=1000, max_records=23")
    return f"LEFT = [0] * {draws.randint(1, 20)}\n{source}"


@asynccontextmanager
async def started(source: str, directory: Path) -> AsyncIterator[Process]:
    """Run the program *source* in *directory*, with the helper, and kill it at the end."""
    shutil.copy(HELPER, directory)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=PIPE, stderr=PIPE, cwd=directory, limit=2**24
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(process: Process, *, within_seconds: float = 60.0) -> str:
    """Return the next line that *process* prints; fail with its errors if it ends before."""
    assert process.stdout is not None
    async with asyncio.timeout(within_seconds):
        found = await process.stdout.readline()
    assert found, await errors(process)
    return found.decode().rstrip("\n")


async def errors(process: Process) -> str:
    """Return what *process*, which has ended, has written to its standard error."""
    assert process.stderr is not None
    return (await process.stderr.read()).decode()


async def printed(source: str, directory: Path, *, lines: int) -> list[Any]:
    """Return the messageIds of the first *lines* that the program *source* prints, and kill it."""
    async with started(source, directory) as process:
        return [json.loads(await line(process))["messageId"] for _ in range(lines)]


def stored(directory: Path) -> list[str]:
    """Return the messageIds in the database of the consumer in *directory*."""
    path = directory / "orders.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as db:
        try:
            return [
                json.loads(value)["messageId"] for (value,) in db.execute("SELECT value FROM events ORDER BY rowid")
            ]
        except sqlite3.OperationalError:  # the consumer has not created the table yet, or is writing
            return []
