"""Where it runs: one broker and one ClickHouse for the whole run, and for each contender a site of its own.

A site has topics, a database and directories that nobody else uses, so that contenders can stand side by side while
only one of them works. Those that do not are stopped (SIGSTOP), which also lets their input be made without them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy import topics
from deploy.errors import BenchError
from deploy.local import probes
from deploy.local.services import Services
from deploy.local.supervisor import RuntimeDirs, Service, SupervisedService
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from processors.engine.producer import ChangelogProducer
from schemas.topics import Topics

PARTITIONS = 4


class BenchCluster:
    """Broker and ClickHouse, and a way to sites."""

    def __init__(self, environ: Mapping[str, str], directory: Path, say: Callable[[str], None]) -> None:
        self.environ = {
            # A contender that is stopped while others work should be in its group when it goes on.
            "SEQUENCE_WORKER_SESSION_SECONDS": "30",
            **environ,
            "SEQUENCE_STATE_DIR": str(directory),
            "SEQUENCE_PARTITIONS": str(PARTITIONS),
            # Loads speak plain HTTP.
            "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE": "",
            "SEQUENCE_GATEWAY_TLS_KEY_FILE": "",
        }
        self.directory = directory
        self.say = say
        self.parts = Services(self.environ)
        self.broker = f"127.0.0.1:{self.parts.settings.local.kafka_port}"
        self.output = ChangelogProducer(self.parts.kafka_settings)
        self.clickhouse = ClickHouse(self.parts.clickhouse_settings, database="default")
        self._home = Namespace(self, "", self.parts)
        self._ends: AIOKafkaConsumer | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BenchCluster]:
        """Run the broker and ClickHouse for the block."""
        await asyncio.to_thread(self.parts.broker.format, self.environ)
        try:
            await asyncio.gather(self._home.start(self.parts.kafka()), self._home.start(self.parts.clickhouse()))
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
    async def site(self, name: str, **environ: str) -> AsyncIterator[Namespace]:
        """Make a site for contender *name*, whose parts get *environ* too, and end it after the block."""
        own = {
            **self.environ,
            "SEQUENCE_STATE_DIR": str(self.directory / name),
            "SEQUENCE_TOPIC_PREFIX": name,
            "SEQUENCE_CLICKHOUSE_DATABASE": name.replace("-", "_"),
            **environ,
        }
        site = Namespace(self, name, Services(own))
        await topics.apply(site.parts.kafka_settings, site.parts.settings.topics)
        try:
            yield site
        finally:
            await site.stop()

    async def end(self, topic: str) -> int:
        """Return how many records *topic* has had."""
        return sum((await self.ends(topic)).values())

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the offset that the next record of each partition gets."""
        if self._ends is None:
            raise RuntimeError("the world does not run")
        tps = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return {tp.partition: end for tp, end in (await self._ends.end_offsets(tps)).items()}

    def pids(self) -> dict[str, int]:
        """Return the processes that serve everybody."""
        return self._home.pids()


class Namespace:
    """One contender's topics, database, directories and processes."""

    def __init__(self, world: BenchCluster, name: str, parts: Services) -> None:
        self.world = world
        self.name = name
        self.parts = parts
        self.topics = Topics(parts.kafka_settings.topic_prefix)
        self._places = RuntimeDirs(parts.state / "logs", parts.state / "run")
        self._running: list[SupervisedService] = []

    async def start(self, *parts: Service) -> None:
        """Start *parts* and return when they are ready."""
        for directory in (self._places.logs, self._places.run):
            directory.mkdir(parents=True, exist_ok=True)
        for part in parts:
            running = SupervisedService(part, self._places, self._tell)
            self._running.append(running)
            await running.start({})

    async def start_workers(self, kind: str) -> None:
        """Start the workers of *kind*: side by side, because each waits until all are in the group."""
        parts = [part for part in self.parts.workers() if part.name.startswith(kind)]
        await asyncio.gather(*(self.start(part) for part in parts))

    def migrate(self) -> ClickHouse:
        """Make the site's tables and return a connection to them."""
        migrate(self.parts.clickhouse_settings)
        return ClickHouse(self.parts.clickhouse_settings)

    async def stop(self) -> None:
        """End what was started, last first."""
        self.signal(signal.SIGCONT)
        for running in reversed(self._running):
            await running.stop()
        self._running.clear()

    def _tell(self, line: str) -> None:
        """Say what the supervisor says, apart from that a part is ready: one that ended has spoilt what is measured."""
        if " ready " not in line:
            self.world.say(f"{self.name}: {line}")

    def pids(self) -> dict[str, int]:
        """Return the site's processes by name."""
        names = [running.part.name for running in self._running]
        return {name: int((self._places.run / f"{name}.pid").read_text()) for name in names}

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them."""
        with suppress(FileNotFoundError):
            for pid in self.pids().values():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Stop the site's processes for the block."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


def process(name: str, command: Sequence[str], environ: Mapping[str, str], url: str = "") -> Service:
    """Return a part that is somebody else's: ready when *url* answers, at once where there is none."""

    async def at_once() -> bool:
        return True

    question = probes.always((lambda: probes.http_answers(url)) if url else at_once)
    return Service(name, lambda: command, environ, question, url)


async def until(
    condition: Callable[[], object], what: str, *, seconds: float = 120.0, every_seconds: float = 0.01
) -> None:
    """Return when *condition*, which may be a coroutine function, holds; raise `BenchError` if it does not in time."""
    deadline = monotonic() + seconds
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        if monotonic() > deadline:
            raise BenchError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(every_seconds)


def joined(runs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return all processes of *runs* in one."""
    return {name: pid for run in runs for name, pid in run.items()}
