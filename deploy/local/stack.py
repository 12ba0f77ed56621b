"""`sequence up`: Kafka, ClickHouse, gateways and workers on this machine, in one command.

Start: lock, passwords, port check, Kafka's files; broker and ClickHouse; topics, tables, development token; gateways
and workers.
Stop: the reverse of the data flow, gateways first and the broker last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from time import monotonic

import click

from deploy import topics
from deploy.embedded import kafka, kafka_jars
from deploy.errors import ServiceError
from deploy.local import kafka_cache, lost_tables, parent_death, passwords, ports, preflight, restoring, state_lock
from deploy.local.quickstart import (
    OPERATE_TOKEN_FILE,
    TOKEN_FILE,
    console_lines,
    development_token,
    local_commands,
    operate_token,
    quickstart,
    ready_text,
)
from deploy.local.services import Services, StackSettings
from deploy.local.supervisor import RuntimeDirs, Supervisor
from deploy.open_files import raise_limit
from deploy.operate import lag_samples
from deploy.settings import cache_directory, state_directory
from processors.clickhouse import migrate
from processors.clickhouse.errors import FunctionError, OutdatedTablesError, UnavailableError
from processors.settings import WORKERS
from schemas.settings import ClickHouseSettings, load

STOP_ORDER = (("console", "gateway"), WORKERS, ("clickhouse",), ("kafka",))
_REBUILD_POLL_SECONDS = 1.0


def up(
    environ: Mapping[str, str],
    parent: int | None = None,
    make_services: Callable[[Mapping[str, str]], Services] = Services,
) -> None:
    """Run the stack until SIGINT or SIGTERM, or until process *parent*, which started this one, has ended.

    Raises `SettingsError` or `DeployError` when the stack cannot run.
    """
    # The probes and the supervisor report that a server is starting or has ended.
    for logger in ("aiokafka", lag_samples.__name__):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    settings = load(StackSettings, environ)
    state = state_directory(settings.local)
    preflight.check_open_files(raise_limit(), settings.topics.partitions)
    preflight.check_paths(state, cache_directory(settings.local, environ))
    with state_lock.held(state):
        preflight.check_brokers(state, settings.local.brokers)
        preflight.check_state(state)
        services = make_services(passwords.keep(state, settings.embedded_clickhouse, environ))
        ports.check(services.ports())
        _fetch_jars(services)
        # Files that services create are closed to other users as well, in case the directory is opened later.
        os.umask(0o077)
        asyncio.run(_run(services, environ, parent))


def _fetch_jars(services: Services) -> None:
    directory = services.brokers[0].jars_directory
    missing = kafka_jars.missing(directory, kafka_jars.listed())
    if not missing:
        return
    size = sum(jar.size_bytes for jar in missing)
    with click.progressbar(
        length=size, label=f"Downloading Kafka ({size / 1e6:.0f} MB, once)", file=click.get_text_stream("stderr")
    ) as bar:
        kafka_jars.fetch(directory, missing, repository=services.settings.local.maven_repository, progress=bar.update)


async def _run(services: Services, environ: Mapping[str, str], parent: int | None) -> None:
    supervisor = Supervisor(RuntimeDirs(services.state / "logs", services.state / "run"), _say)
    stop = _stop_on_signals(supervisor)
    if parent is not None:
        parent_death.call_when_orphaned(parent, partial(_stop_from_thread, asyncio.get_running_loop(), stop))
    try:
        has_workers = asyncio.Event()
        async with (
            _lag_recorded(services, has_workers),
            _sinks_stopped_for_restore(services, supervisor),
            kafka_cache.made(services.brokers[0], services.state / "run", has_workers, _say),
        ):
            starting = asyncio.create_task(_start(services, supervisor, environ, has_workers))
            await _first(starting, stop, supervisor.failed)
            if not stop.is_set():
                await _first(stop, supervisor.failed)
    finally:
        _say("Stopping.")
        await supervisor.stop(*STOP_ORDER)


@contextlib.asynccontextmanager
async def _lag_recorded(services: Services, has_workers: asyncio.Event) -> AsyncIterator[None]:
    """Record the lag during the block: this process runs on while a service does not.

    It begins once there are workers. Asked for a group before, Kafka creates the topic of the offsets, and warns if the
    workers make it create that topic again at the same moment.
    """

    async def record() -> None:
        await has_workers.wait()
        await lag_samples.run(services.kafka_settings, services.clickhouse_settings)

    recording = asyncio.create_task(record())
    try:
        yield
    finally:
        recording.cancel()
        await asyncio.wait({recording})


@contextlib.asynccontextmanager
async def _sinks_stopped_for_restore(services: Services, supervisor: Supervisor) -> AsyncIterator[None]:
    """Run no sink during the block while `sequence restore` replaces the tables."""
    sinks = [worker for worker in services.workers() if worker.name.startswith("sink-")]
    watching = asyncio.create_task(restoring.stop_during_restore(services.state, supervisor, sinks, _say))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def _stop_from_thread(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set *stop* from another thread. The loop may be closed already, when the parent exits last."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(stop.set)


async def _start(
    services: Services, supervisor: Supervisor, environ: Mapping[str, str], has_workers: asyncio.Event
) -> None:
    began = monotonic()
    _say(f"State: {services.state}. Logs: {services.state / 'logs'}.")
    is_new = not any(kafka.is_formatted(broker.directory) for broker in services.brokers)
    try:
        async with asyncio.TaskGroup() as servers:
            servers.create_task(_start_kafka(services, supervisor))
            tables = servers.create_task(_start_clickhouse(services, supervisor))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    outdated = tables.result()
    if (
        outdated is None
        and not is_new
        and await lost_tables.accept_expired(services.kafka_settings, services.clickhouse_settings)
    ):
        _say("ClickHouse has no tables. The sink loads all events that Kafka still has.")
    sinks = [worker for worker in services.workers() if worker.name.startswith("sink-")]
    others = [worker for worker in services.workers() if not worker.name.startswith("sink-")]
    await supervisor.start(*services.gateways(), *others, *(sinks if outdated is None else ()))
    has_workers.set()
    await _start_console(services, supervisor)
    unready = [*supervisor.unready(), *(sink.name for sink in sinks if outdated is not None)]
    _say(ready_text(unready, monotonic() - began))
    if (line := preflight.little_space(services.state, services.kafka_settings.min_free_bytes)) is not None:
        _say(line)
    _say("Metrics of gateways and workers: /metrics at the addresses above.\n")
    _say(quickstart(local_commands(services.state / TOKEN_FILE, environ), services.settings.gateway))
    _say(console_lines(services.console_url, services.state / OPERATE_TOKEN_FILE))
    if outdated is not None:
        _say(f"{outdated} Until then the sink does not run, and events wait in Kafka.")
        await _wait_for_rebuilt_tables(services.clickhouse_settings)
        await supervisor.start(*sinks)
        _say("The tables are those of this version. The sink runs.")
    if unready:
        await supervisor.until_ready()
        _say("Ready: every part runs.")


async def _start_kafka(services: Services, supervisor: Supervisor) -> None:
    """Start the brokers with the topics and the two tokens of the stack."""
    await asyncio.to_thread(services.format_brokers)
    await supervisor.start(*services.kafka())
    await topics.apply(services.kafka_settings, services.settings.topics)
    await development_token(services.kafka_settings, services.state / TOKEN_FILE)
    await operate_token(services.kafka_settings, services.state / OPERATE_TOKEN_FILE)


async def _start_clickhouse(services: Services, supervisor: Supervisor) -> str | None:
    """Start ClickHouse with the tables; return the message about tables of an older version."""
    await supervisor.start(services.clickhouse())
    return await asyncio.to_thread(_migrate, services.clickhouse_settings)


async def _start_console(services: Services, supervisor: Supervisor) -> None:
    """Start the console. The stack runs without it while it cannot start."""
    try:
        await supervisor.start(services.console())
    except ServiceError as error:
        _say(f"The console does not run. {error}")


def _migrate(settings: ClickHouseSettings) -> str | None:
    """Apply the migrations; return the message about tables of an older version, which a person has to rebuild."""
    try:
        # A start says nothing about migrations that take no time.
        migrate.migrate(settings, say=_say if migrate.plan(settings).copied else migrate.say_nothing)
    except OutdatedTablesError as error:
        return str(error)
    except FunctionError as error:
        # The tables are migrated, and the function can be dropped only while the server runs.
        _say(str(error))
    return None


async def _wait_for_rebuilt_tables(settings: ClickHouseSettings) -> None:
    """Return when `sequence tables rebuild` has created the tables of this version."""
    while True:
        # ClickHouse may restart meanwhile.
        with contextlib.suppress(OutdatedTablesError, UnavailableError):
            if not await asyncio.to_thread(migrate.pending, settings):
                return
        await asyncio.sleep(_REBUILD_POLL_SECONDS)


def _say(line: str) -> None:
    """Print *line*. A closed terminal must not prevent a graceful shutdown."""
    with contextlib.suppress(OSError):
        click.echo(line)


def _stop_on_signals(supervisor: Supervisor) -> asyncio.Event:
    """Return an event that the first signal sets; the second signal kills every service."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            _say("Killing all services.")
            supervisor.kill()
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    # `nohup` ignores SIGHUP, and a handler would undo it.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _first(*awaited: asyncio.Task[None] | asyncio.Event) -> None:
    """Return when the first is done or set. Raises what a task raised, and cancels a task that is not done."""
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
