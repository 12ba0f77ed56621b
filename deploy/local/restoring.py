"""While `sequence restore` replaces the tables, the local stack runs no sink.

The command holds a lock in the state directory, which the kernel releases when it ends, `kill -9` included.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from deploy.errors import OperateError, ServiceError
from deploy.local import state_lock
from deploy.local.supervisor import Service, Supervisor

_LOCK = "restore.lock"
_POLL_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_LOCK_SECONDS = 1.0
_STOP_SECONDS = 40.0
"""Longer than the stack waits for a sink to stop."""


@contextmanager
def held(state: Path) -> Iterator[None]:
    """Keep the stack on *state* from running a sink during the block; `OperateError` if one does not stop."""
    lock = os.open(state / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if not _within(_LOCK_SECONDS, lambda: _locks(lock)):
            raise OperateError("Another sequence restore runs. Wait until it has ended.")
        if not _within(_STOP_SECONDS, lambda: not list((state / "run").glob("sink-*.pid"))):
            raise OperateError("The sink of the local stack did not stop. Run `sequence status`. Nothing was changed.")
        yield
    finally:
        os.close(lock)


def _locks(lock: int) -> bool:
    # The stack holds the lock for an instant when it looks.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = monotonic() + seconds
    while not (holds := condition()) and monotonic() < deadline:
        sleep(_LOOK_SECONDS)
    return holds


def is_held(state: Path) -> bool:
    """Return whether a restore runs on the stack of *state*."""
    return state_lock.is_locked(state / _LOCK)


async def stop_during_restore(
    state: Path, supervisor: Supervisor, sinks: Sequence[Service], say: Callable[[str], None]
) -> None:
    """Stop *sinks* whenever a restore begins, and start them when it has ended; runs until it is cancelled."""
    while True:
        await _until(state, held=True)
        say("A restore has begun. No sink runs meanwhile.")
        await supervisor.stop_some(*(sink.name for sink in sinks))
        await _until(state, held=False)
        say("The restore has ended.")
        # After an interrupted restore no sink becomes ready, and the next restore has to stop them.
        started = asyncio.create_task(_start(supervisor, sinks, say))
        again = asyncio.create_task(_until(state, held=True))
        try:
            await asyncio.wait({started, again}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
            again.cancel()
            await asyncio.wait({started, again})


async def _start(supervisor: Supervisor, sinks: Sequence[Service], say: Callable[[str], None]) -> None:
    try:
        await supervisor.start(*sinks)
    except ServiceError as error:
        say(f"{error} Run `sequence restore` again, or restart the stack.")


async def _until(state: Path, *, held: bool) -> None:
    while is_held(state) != held:  # noqa: ASYNC110  # a lock of another process can only be polled
        await asyncio.sleep(_POLL_SECONDS)
