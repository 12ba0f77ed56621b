"""Servers and namespaces: one broker and one ClickHouse for a comparison, and a namespace for each candidate.

A namespace has its own topics, database and directories. All candidates of a comparison exist at the same time, and
only one is measured at a time. The others are suspended with SIGSTOP, which allows their input to be written ahead.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy import topics
from deploy.local.probes import HttpProbe
from deploy.local.services import Services
from deploy.local.supervisor import RuntimeDirs, Service, SupervisedService
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from processors.engine.producer import ChangelogProducer
from schemas.topics import Topics
from tests.benchmarks.errors import BenchError

PARTITIONS = 4


class BenchCluster:
    """A broker and a ClickHouse server, shared by all namespaces of a comparison."""

    def __init__(self, environ: Mapping[str, str], directory: Path, say: Callable[[str], None]) -> None:
        self.environ = {
            # A suspended candidate must still be a member of its consumer group when it resumes.
            "SEQUENCE_WORKER_SESSION_SECONDS": "30",
            **environ,
            "SEQUENCE_STATE_DIR": str(directory),
            "SEQUENCE_PARTITIONS": str(PARTITIONS),
            # All candidates exist at the same time.
            "SEQUENCE_LOCAL_METRICS_PORT": "0",
            "SEQUENCE_CONSOLE_PORT": "0",
            "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": secrets.token_hex(16),
            "SEQUENCE_LOCAL_ANALYST_PASSWORD": secrets.token_hex(16),
            # The load generator uses plain HTTP.
            "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE": "",
            "SEQUENCE_GATEWAY_TLS_KEY_FILE": "",
        }
        self.directory = directory
        self.say = say
        self.services = Services(self.environ)
        self.broker = f"127.0.0.1:{self.services.settings.local.kafka_port}"
        self.output = ChangelogProducer(self.services.kafka_settings)
        self.clickhouse = ClickHouse(self.services.clickhouse_settings, database="default")
        self._home = Namespace(self, "", self.services)
        self._ends: AIOKafkaConsumer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BenchCluster]:
        """Run the broker and ClickHouse for the duration of the block."""
        await asyncio.to_thread(self.services.format_brokers)
        try:
            await asyncio.gather(
                *(self._home.start(each) for each in self.services.kafka()),
                self._home.start(self.services.clickhouse()),
            )
            await self.output.start()
            self._ends = AIOKafkaConsumer(bootstrap_servers=self.broker)
            await self._ends.start()
            yield self
        finally:
            if self._ends is not None:
                await self._ends.stop()
            await self.output.stop()
            await self._home.stop()

    @asynccontextmanager
    async def namespace(self, name: str, **environ: str) -> AsyncIterator[Namespace]:
        """Create a namespace for candidate *name* and stop its services after the block.

        *environ* is added to the environment of its services.
        """
        own = {
            **self.environ,
            "SEQUENCE_STATE_DIR": str(self.directory / name),
            "SEQUENCE_TOPIC_PREFIX": name,
            "SEQUENCE_CLICKHOUSE_DATABASE": name.replace("-", "_"),
            **environ,
        }
        namespace = Namespace(self, name, Services(own))
        await topics.apply(namespace.services.kafka_settings, namespace.services.settings.topics)
        try:
            yield namespace
        finally:
            await namespace.stop()

    async def end(self, topic: str) -> int:
        """Return the sum of the log end offsets of *topic*."""
        return sum((await self.ends(topic)).values())

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the log end offset of each partition of *topic*."""
        if self._ends is None:
            raise RuntimeError("the cluster is not running")
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return {tp.partition: end for tp, end in (await self._ends.end_offsets(tps)).items()}

    def pids(self) -> dict[str, int]:
        """Return the process IDs of the broker and ClickHouse, by name."""
        return self._home.pids()


class Namespace:
    """The topics, database, directories and processes of one candidate."""

    def __init__(self, cluster: BenchCluster, name: str, parts: Services) -> None:
        self.cluster = cluster
        self.name = name
        self.services = parts
        self.topics = Topics(parts.kafka_settings.topic_prefix)
        self._dirs = RuntimeDirs(parts.state / "logs", parts.state / "run")
        self._running: list[SupervisedService] = []

    async def start(self, *parts: Service) -> None:
        """Start *services* one after another; return when all are ready."""
        for directory in (self._dirs.logs, self._dirs.run):
            directory.mkdir(parents=True, exist_ok=True)
        for part in parts:
            running = SupervisedService(part, self._dirs, self._tell)
            self._running.append(running)
            await running.start({})

    async def start_workers(self, kind: str) -> None:
        """Start all workers of *kind* concurrently, because each waits until all have joined the group."""
        parts = [part for part in self.services.workers() if part.name.startswith(kind)]
        await asyncio.gather(*(self.start(part) for part in parts))

    def migrate(self) -> ClickHouse:
        """Create the tables of the namespace and return a client for its database."""
        migrate(self.services.clickhouse_settings)
        return ClickHouse(self.services.clickhouse_settings)

    async def stop(self) -> None:
        """Stop all services in reverse order."""
        self.signal(signal.SIGCONT)
        for running in reversed(self._running):
            await running.stop()
        self._running.clear()

    def _tell(self, line: str) -> None:
        """Report what the supervisor says, except ready lines: a service that exited invalidates the measurement."""
        if " ready " not in line:
            self.cluster.say(f"{self.name}: {line}")

    def pids(self) -> dict[str, int]:
        """Return the process IDs of the services, by name."""
        names = [running.service.name for running in self._running]
        return {name: int((self._dirs.run / f"{name}.pid").read_text()) for name in names}

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every service."""
        with suppress(FileNotFoundError):
            for pid in self.pids().values():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend all services for the duration of the block."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


def process(name: str, command: Sequence[str], environ: Mapping[str, str], url: str = "") -> Service:
    """Return the service of another implementation: ready when *url* answers, at once without a URL."""
    return Service(name, lambda: command, environ, HttpProbe(url) if url else _AlwaysReady(), url)


class _AlwaysReady:
    async def prepare(self) -> None: ...

    async def ready(self) -> bool:
        return True


async def until(
    condition: Callable[[], object], what: str, *, seconds: float = 120.0, every_seconds: float = 0.01
) -> None:
    """Wait until *condition* (a function or coroutine function) is true; raise `BenchError` after *seconds*."""
    deadline = monotonic() + seconds
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        if monotonic() > deadline:
            raise BenchError(f"Timed out after {seconds:g} s waiting until {what}.")
        await asyncio.sleep(every_seconds)


def merged(groups: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return one mapping with the processes of all *groups*."""
    return {name: pid for group in groups for name, pid in group.items()}
