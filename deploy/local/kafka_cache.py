"""Makes Java's AOT cache of Kafka's classes while the stack runs, so that its next start is faster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from deploy.embedded import kafka_training
from deploy.embedded.kafka import Broker
from deploy.local.child_process import ChildProcess
from deploy.local.services import without_secrets

_DELAY_SECONDS = 30.0
"""Time after the start of the stack that the cache leaves to its user. A stack that runs for less makes none."""
_PID_FILE = "kafka-cache"
"""In the directory of the services' process ids, but without their suffix."""
_FAILED = "Kafka starts as slowly the next time, because the AOT cache of its classes could not be made"


@contextlib.asynccontextmanager
async def made(broker: Broker, run: Path, started: asyncio.Event, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Make the cache of *broker* during the block, once the stack has *started*; at its end, stop at once."""
    making = asyncio.create_task(_make(broker, run, started, say))
    try:
        yield
    finally:
        making.cancel()
        await asyncio.wait({making})


async def _make(broker: Broker, run: Path, started: asyncio.Event, say: Callable[[str], None]) -> None:
    await started.wait()
    await asyncio.sleep(_DELAY_SECONDS)
    jars = broker.jars_directory
    if not os.access(jars, os.W_OK) or not await asyncio.to_thread(kafka_training.is_needed, broker):
        return
    output = bytearray()
    command = (sys.executable, "-P", "-m", kafka_training.__name__, kafka_training.IN_BACKGROUND, str(jars))
    try:
        process = await ChildProcess.start(command, without_secrets(os.environ), run / _PID_FILE, output.extend)
    except OSError as error:
        say(f"{_FAILED}: {error.strerror}")
        return
    try:
        code = await process.wait()
    finally:
        await process.finish()
    if code != 0:
        [*_, last] = output.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
        say(f"{_FAILED}: {last}")
