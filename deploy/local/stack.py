"""`sequence up`: Kafka, ClickHouse, the gateway and the workers on this machine, in one command.

Order: lock, ports, Kafka's files; broker and ClickHouse; topics, tables, the development token; gateway and workers.
It ends the other way round: what takes events in first, what stores them last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from time import monotonic

import click

from deploy import topics
from deploy.embedded import kafka_jars
from deploy.local import ports, state_lock
from deploy.local.quickstart import development_token, greeting
from deploy.local.services import Services
from deploy.local.supervisor import RuntimeDirs, Supervisor
from processors.clickhouse.migrate import migrate

STOP_ORDER = (("gateway",), ("dedupe", "persons", "sink"), ("clickhouse",), ("kafka",))


def up(
    environ: Mapping[str, str],
    parent: int | None = None,
    make_parts: Callable[[Mapping[str, str]], Services] = Services,
) -> None:
    """Run the stack until SIGINT or SIGTERM; raise `SettingsError` or `DeployError` when it cannot run.

    With *parent*, the process that started it, it also ends when that one does. The number has to come from there: one
    that had ended before it was looked up would not be missed.
    """
    # Kafka's client reports what it tries again as errors; what comes of it in the end is said here.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    parts = make_parts(environ)
    with state_lock.held(parts.state):
        ports.check(parts.ports())
        _fetch_jars(parts)
        asyncio.run(_run(parts, environ, parent))


def _fetch_jars(parts: Services) -> None:
    directory = parts.broker.jars_directory
    wanted = kafka_jars.missing(directory, kafka_jars.listed())
    if not wanted:
        return
    size = sum(jar.size_bytes for jar in wanted)
    with click.progressbar(
        length=size, label=f"Fetching Kafka, {size / 1e6:.0f} MB, once", file=click.get_text_stream("stderr")
    ) as bar:
        kafka_jars.fetch(directory, wanted, repository=parts.settings.local.maven_repository, progress=bar.update)


async def _run(parts: Services, environ: Mapping[str, str], parent: int | None) -> None:
    supervisor = Supervisor(RuntimeDirs(parts.state / "logs", parts.state / "run"), _say)
    stop = _on_signals(supervisor)
    watch = asyncio.create_task(set_when_orphaned(stop, parent)) if parent is not None else None
    try:
        starting = asyncio.create_task(_start(parts, supervisor, environ))
        await _first(starting, stop)
        if not stop.is_set():
            await _first(stop, supervisor.failed)
    finally:
        _say("Ending.")
        await supervisor.stop(*STOP_ORDER)
        if watch is not None:
            watch.cancel()


async def _start(parts: Services, supervisor: Supervisor, environ: Mapping[str, str]) -> None:
    began = monotonic()
    _say(f"State in {parts.state}, what each part prints in {parts.state / 'logs'}.")
    await asyncio.to_thread(parts.broker.format, environ)
    await supervisor.start(parts.kafka(), parts.clickhouse())
    await topics.apply(parts.kafka_settings, parts.settings.topics)
    await asyncio.to_thread(migrate, parts.clickhouse_settings)
    token = await development_token(parts.kafka_settings, parts.state / "dev-token")
    await supervisor.start(*parts.gateways(), *parts.workers())
    _say(f"Ready after {monotonic() - began:.1f} s. Ctrl-C ends it.\n")
    _say(greeting(token, parts.settings.gateway, parts.clickhouse_settings))


def _say(line: str) -> None:
    """Print *line*; a terminal that was closed is no reason to end otherwise than in order."""
    with contextlib.suppress(OSError):
        click.echo(line)


def _on_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that the first signal sets; the second one ends everything by force."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            _say("Ending everything at once.")
            supervisor.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def set_when_orphaned(stop: asyncio.Event, parent: int) -> None:
    """Set *stop* once process *parent* is no longer this one's parent, because it ended."""
    while os.getppid() == parent:  # noqa: ASYNC110  # no event tells of it on every system
        await asyncio.sleep(0.5)
    stop.set()


async def _first(*awaited: asyncio.Task[None] | asyncio.Event) -> None:
    """Return when the first is done or set; raise what a task raised, cancel a task that is not done."""
    tasks = [item if isinstance(item, asyncio.Task) else asyncio.create_task(_wait(item)) for item in awaited]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for task in done:
        task.result()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
