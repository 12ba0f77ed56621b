"""`sequence status`: asks Kafka, ClickHouse, gateways and the local stack. What is down is a part of the answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiokafka.errors import KafkaError

from deploy.errors import OperateError
from deploy.operate import broker_disks, kafka_reader, lag, status_local, status_processes
from deploy.operate.broker_disks import BrokerDisk
from deploy.operate.causes import Memory, joined
from deploy.operate.kafka_reader import KafkaReader
from deploy.operate.lag import StageLag
from deploy.operate.server_faults import clickhouse_fault, kafka_fault
from deploy.operate.servers import Servers
from deploy.operate.status_result import (
    NO_ANSWER,
    Gateway,
    LastRejection,
    PartitionLag,
    Rates,
    Server,
    Stage,
    Status,
    TopicLag,
    judge,
)
from processors.clickhouse.client import server_url
from processors.clickhouse.errors import ClickHouseError
from schemas.items import Rejection
from schemas.times import format_time
from schemas.topics import Topics

RATE_SECONDS = 2.0
"""Time over which the rates of a single status are measured."""
_LONGEST_SECONDS = 10.0
"""Longest time over which rates are measured."""
_GATEWAY_SECONDS = 3.0
_LAST_RECORDS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked."""

    servers: Servers
    gateways: Sequence[str] = ()
    """Addresses, such as `http://127.0.0.1:8080`."""
    state: Path | None = None
    """State directory of the local stack, if the servers are its own."""
    max_lag_seconds: float = 60.0
    workers: Mapping[str, str] = field(default_factory=dict)
    """Addresses of the workers of the local stack, by name."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """What Kafka knows at a time of `time.time`."""

    at: float
    brokers: int
    disks: Sequence[BrokerDisk]
    missing: Sequence[str]
    """Topics that do not exist."""
    stages: Sequence[StageLag]
    ends: tuple[int, ...]
    """Sums of the ends of the partitions of `items.v1`, `events.v1`, `duplicates.v1` and `rejected.v1`."""
    last_rejection: LastRejection | None


@dataclass(slots=True)
class Watch:
    """Asks repeatedly over one connection to Kafka. It is made again after it failed."""

    asked: Asked
    _connection: AsyncExitStack = field(default_factory=AsyncExitStack)
    _reader: KafkaReader | None = None
    _samples: deque[_Sample] = field(default_factory=deque)
    _memory: Memory = field(default_factory=Memory)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.aclose()

    async def begin(self) -> bool:
        """Ask Kafka alone, so that rates are known at the next call of `status`; return whether it answers."""
        return (await self._ask_kafka()).is_up

    async def status(self) -> Status:
        """Return the status now; rates are those since the earlier calls of the last 10 s."""
        kafka, clickhouse, gateways = await asyncio.gather(
            self._ask_kafka(),
            asyncio.to_thread(_ask_clickhouse, self.asked.servers),
            asyncio.gather(*(_ask_gateway(url) for url in self.asked.gateways)),
        )
        status = Status(
            at=format_time(int(time.time() * 1e6)),
            kafka=kafka,
            clickhouse=clickhouse,
            stages=[],
            rates=None,
            gateways=list(gateways),
            processes=[] if self.asked.state is None else status_local.processes(self.asked.state),
            last_rejection=None,
            findings=[],
        )
        if self._samples:
            self._add_sample(status)
        await status_processes.ask(status.processes, self.asked.workers)
        status_processes.name_states(status)
        is_local = self.asked.state is not None
        found = [*judge(status, max_lag_seconds=self.asked.max_lag_seconds, is_local=is_local)]
        found += [*broker_disks.low(status.disks, self.asked.servers.kafka.min_free_bytes)]
        status.findings = self._memory.dated(joined([*found, *status_processes.judge(status)], status), status.at)
        return status

    def _add_sample(self, status: Status) -> None:
        topics, before, last = self._topics, self._samples[0], self._samples[-1]
        seconds = last.at - before.at
        processed: list[float | None] = [None] * len(last.stages)
        if seconds > 0:
            status.seconds = round(seconds, 1)
            accepted, unique, duplicates, rejected = rates(before.ends, last.ends, seconds)
            status.rates = Rates(accepted=accepted, unique=unique, duplicates=duplicates, rejected=rejected)
            committed = [[stage.committed() for stage in sample.stages] for sample in (before, last)]
            processed = list(rates(committed[0], committed[1], seconds))
        status.stages = [_stage(*each, topics, last.at) for each in zip(last.stages, processed, strict=True)]
        status.last_rejection = last.last_rejection
        status.missing_topics, status.disks = list(last.missing), list(last.disks)

    @property
    def _topics(self) -> Topics:
        return Topics(self.asked.servers.kafka.topic_prefix)

    async def _ask_kafka(self) -> Server:
        address = self.asked.servers.kafka.bootstrap_servers
        try:
            if self._reader is None:
                connecting = kafka_reader.connected(self.asked.servers.kafka)
                self._reader = await self._connection.enter_async_context(connecting)
            sample = await self._sample(self._reader)
        except (KafkaError, OperateError, OSError) as error:
            self._samples.clear()
            self._reader = None
            await self._connection.aclose()
            return Server(
                name="Kafka", address=address, is_up=False, about=kafka_fault(self.asked.servers.kafka, error, "")
            )
        self._samples.append(sample)
        while sample.at - self._samples[0].at > _LONGEST_SECONDS:
            self._samples.popleft()
        brokers = f"{sample.brokers} {'broker' if sample.brokers == 1 else 'brokers'}"
        return Server(name="Kafka", address=address, is_up=True, about=brokers)

    async def _sample(self, reader: KafkaReader) -> _Sample:
        topics = self._topics
        described = await reader.topics()
        _, brokers = await reader.cluster()
        stages = await lag.read(reader, topics, described)
        counted = (topics.items, topics.events, topics.duplicates, topics.rejected)
        keys = {topic: [(topic, number) for number in range(len(described.get(topic, ())))] for topic in counted}
        at = time.time()
        bounds = await reader.bounds(key for of_topic in keys.values() for key in of_topic)
        ends = tuple(sum(bounds[key][1] for key in keys[topic]) for topic in counted)
        newest = {key: end - 1 for key in keys[topics.rejected] if (end := bounds[key][1]) > bounds[key][0]}
        found = await reader.first_records(newest, time.monotonic() + _LAST_RECORDS_SECONDS)
        needed = [topic for of_stage in lag.inputs_of(topics).values() for topic in of_stage]
        missing = sorted({*needed, *counted} - described.keys())
        answers = await reader.disks({topic: len(described.get(topic, ())) for topic in topics.every})
        return _Sample(at, brokers, broker_disks.disks(answers), missing, stages, ends, _newest(found.values()))


def rates(before: Sequence[int], after: Sequence[int], seconds: float) -> list[float]:
    """Return how fast each number has grown, a second."""
    return [max(0.0, round((last - first) / seconds, 1)) for first, last in zip(before, after, strict=True)]


def _stage(each: StageLag, processed: float | None, topics: Topics, now: float) -> Stage:
    seconds = each.seconds(now)
    return Stage(
        name=each.name,
        group=f"{topics.prefix}-{each.name}",
        state=each.members.state,
        members=len(each.members.hosts),
        hosts=sorted(set(each.members.hosts)),
        topics=[
            TopicLag(
                topic=topic.removeprefix(f"{topics.prefix}."),
                lag_records=each.records(topic),
                lag_seconds=None if (of_topic := each.seconds(now, topic)) is None else round(of_topic, 1),
            )
            for topic in dict.fromkeys(topic for topic, _ in each.inputs)
        ],
        lag_records=each.records(),
        lag_seconds=None if seconds is None else round(seconds, 1),
        processed_per_second=processed,
        partitions=len(each.inputs),
        behind=[
            PartitionLag(
                topic=topic.removeprefix(f"{topics.prefix}."),
                partition=partition,
                lag_records=read.lag,
                lag_seconds=None
                if (at := each.oldest_ms.get((topic, partition))) is None
                else round(now - at / 1000, 1),
            )
            for (topic, partition), read in each.inputs.items()
            if read.lag > 0
        ],
    )


def _newest(records: Any) -> LastRejection | None:
    """Return the newest rejection of *records*; records of other forms are left out."""
    found = []
    for record in records:
        try:
            found.append((record.timestamp, msgspec.json.decode(record.value or b"", type=Rejection)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    if not found:
        return None
    _, last = max(found, key=lambda each: each[0])
    return LastRejection(
        rejected_at=last.rejected_at,
        project_id=last.project_id,
        stage=last.stage,
        code=last.code,
        message=last.message,
    )


def _ask_clickhouse(servers: Servers) -> Server:
    address = server_url(servers.clickhouse).without_login
    try:
        with servers.tables() as clickhouse:
            began = time.monotonic()
            (row,) = clickhouse.query("SELECT version() AS version")
            seconds = round(time.monotonic() - began, 3)
    except ClickHouseError as error:
        return Server(
            name="ClickHouse", address=address, is_up=False, about=clickhouse_fault(servers.clickhouse, error, "")
        )
    return Server(name="ClickHouse", address=address, is_up=True, about=f"version {row['version']}", seconds=seconds)


async def _ask_gateway(url: str) -> Gateway:
    timeout, asked_at = aiohttp.ClientTimeout(total=_GATEWAY_SECONDS), time.time()
    try:
        # The certificate names the public host. The request has no secret.
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url.rstrip('/')}/health/ready", ssl=False) as response,
        ):
            text, is_ready = await response.text(errors="replace"), response.status == 200
            return Gateway(
                url=url,
                is_ready=is_ready,
                about="" if is_ready else _why(text),
                clock_seconds=_ahead(response.headers.get("Date", ""), (asked_at + time.time()) / 2),
            )
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Gateway(url=url, is_ready=False, about=f"{NO_ANSWER} ({type(error).__name__}).")


def _ahead(date: str, now: float) -> float | None:
    """Return how many seconds the clock that wrote the header *date* is ahead of *now*, None if it wrote none."""
    try:
        # The header has whole seconds, rounded down.
        return round(parsedate_to_datetime(date).timestamp() + 0.5 - now, 1)
    except ValueError:
        return None


def _why(text: str) -> str:
    """Return the message of an error response of the gateway."""
    try:
        return str(msgspec.json.decode(text, type=Mapping[str, Any])["message"])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError):
        return text.strip()[:200]
