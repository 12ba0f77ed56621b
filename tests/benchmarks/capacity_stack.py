"""A whole local stack under a paced load: the CPU time, memory, batches and bytes of each part."""

from __future__ import annotations

import asyncio
import re
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import msgspec
import psutil

from deploy.operate.capacity import PARTS, Load, Topology
from processors.settings import WORKERS
from schemas.topics import Topics, without_prefix
from tests.benchmarks.capacity_events import EventMaker
from tests.benchmarks.capacity_samples import Sample
from tests.benchmarks.cluster import until
from tests.benchmarks.errors import BenchError
from tests.benchmarks.loadgen import Load as Posted
from tests.benchmarks.loadgen import paced
from tests.benchmarks.usage import measured
from tests.support.local_stack import Stack
from tests.support.services import free_ports

CONNECTIONS = 16
_IDLE_SECONDS = 4.0
"""How long a connection may wait for its next request: a gateway closes it later on."""
WARM_NAME = "warm"
"""A load with this name is in no result."""
LEAD_SECONDS = 2.0
"""Time from the first request of a load to the beginning of its window."""
SETTLE_SECONDS = 1.0
"""Time from the last row of events to the next load: the rows of persons follow."""
_TOPICS = ("items.v1", "events.v1", "identifies.v1", "duplicates.v1", "persons.v1")
_TABLES = ("events", "identifies", "duplicates", "person_states")
_LINE = re.compile(r"^(sequence_\w+?)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


class MeasuredStack:
    """The stack of *topology*, which is running."""

    def __init__(self, stack: Stack, topology: Topology, metrics_ports: list[int]) -> None:
        self.topology = topology
        self._stack = stack
        self._metrics_ports = [*range(stack.gateway, stack.gateway + topology.gateways), *metrics_ports]
        self._labels: dict[str, tuple[str, Load]] = {}
        """The name and the load of each label."""

    async def measure(self, name: str, load: Load, seconds: float, *, is_check: bool = False) -> Sample:
        """Offer *load*, and measure a window of *seconds* in which its rate is constant."""
        label = f"L{len(self._labels)}"
        self._labels[label] = name, load
        topics_before = self._topic_bytes()
        with self._written(load, label, LEAD_SECONDS + seconds + 1) as files:
            posting = asyncio.create_task(self._post(load, files))
            await asyncio.sleep(LEAD_SECONDS)
            sample = await self._window(name, load, seconds, is_check=is_check)
            generator, sent = await posting
        await self._settled(label, sent)
        record_bytes = self._record_bytes(topics_before, sent, label)
        return msgspec.structs.replace(sample, record_bytes=record_bytes, generator_cores=generator)

    async def idle(self, name: str, seconds: float) -> Sample:
        """Measure a window of *seconds* without events."""
        return await self._window(name, Load(0, 300, 4), seconds, is_check=False)

    async def _window(self, name: str, load: Load, seconds: float, *, is_check: bool) -> Sample:
        before, began = await asyncio.to_thread(self._counted), perf_counter()
        async with measured(self._pids()) as usage:
            await asyncio.sleep(seconds)
        after, took = await asyncio.to_thread(self._counted), perf_counter() - began
        rates = {key: (after[key] - before[key]) / took for key in after}
        accepted = rates.pop("accepted")
        if name != WARM_NAME and load.events_per_second and not 0.9 < accepted / load.events_per_second < 1.1:
            raise BenchError(f"{name}: {accepted:,.0f} of {load.events_per_second:,.0f} events/s were accepted.")
        found = replace(load, events_per_second=accepted)
        cores = {part: value / took for part, value in _by_part(usage.cpu_seconds).items()}
        peak = _by_part(usage.peak_mib)
        return Sample(name, is_check, found, self.topology, took, cores, peak, rates, {}, 0.0)

    async def _settled(self, label: str, sent: int) -> None:
        """Wait until each of *sent* events is a row, and then for what follows the last one."""

        async def stored() -> bool:
            tables = ("events", "identifies", "duplicates")
            return await asyncio.to_thread(lambda: sum(self._rows(table, label) for table in tables)) >= sent

        await until(stored, f"{sent} events are rows", seconds=60, every_seconds=0.5)
        await asyncio.sleep(SETTLE_SECONDS)

    async def _post(self, load: Load, files: list[str]) -> tuple[float, int]:
        """Return the cores that the generators took, and the number of events that they sent."""
        token = self._stack.secrets()["dev-token"]
        rate, began = load.requests / len(files), perf_counter()
        connections = max(1, min(CONNECTIONS, int(rate * _IDLE_SECONDS)))
        outcomes = await asyncio.gather(
            *(
                paced(Posted(f"http://127.0.0.1:{port}/event/batch?verbose=0", token, file, connections, 600, rate))
                for port, file in enumerate(files, self._stack.gateway)
            )
        )
        if failed := sum(outcome.failed for outcome in outcomes):
            raise BenchError(f"{failed} requests failed.")
        sent = sum(outcome.requests for outcome in outcomes) * round(load.per_request)
        # Each outcome has the processes that ended meanwhile: the last one has all of them.
        return max(outcome.cpu_seconds for outcome in outcomes) / (perf_counter() - began), sent

    @contextmanager
    def _written(self, load: Load, label: str, seconds: float) -> Iterator[list[str]]:
        """Yield a file of bodies for each gateway."""
        number = round(load.requests * seconds)
        with tempfile.TemporaryDirectory() as directory:
            paths = [Path(directory, str(gateway)) for gateway in range(self.topology.gateways)]
            files = [path.open("wb") for path in paths]
            for at, body in enumerate(EventMaker(load, label).bodies(number)):
                files[at % len(files)].write(body + b"\n")
            for file in files:
                file.close()
            yield [str(path) for path in paths]

    def _pids(self) -> dict[str, int]:
        run = self._stack.state / "run"
        return {path.stem: int(path.read_text()) for path in run.glob("*.pid") if _part(path.stem)}

    def _counted(self) -> dict[str, float]:
        """Return counters of all processes: accepted events, batches of each stage, INSERTs, and rows counted."""
        found = dict.fromkeys(("accepted", "gateway", "dedupe", "persons", "sink", "inserts", "counted"), 0.0)
        for metric, labels, value in self._metrics():
            if metric == "sequence_gateway_accepted_items_total":
                found["accepted"] += value
            elif metric == "sequence_gateway_published_batches_total" and "items.v1" in labels:
                found["gateway"] += value
            elif metric == "sequence_worker_batch_records_count":
                found[_stage_of(labels)] += value
            elif metric == "sequence_sink_insert_rows_count":
                found["inserts"] += value
            elif metric == "sequence_sink_catalog_read_rows_total":
                found["counted"] += value
        return found

    def _metrics(self) -> Iterator[tuple[str, str, float]]:
        for port in self._metrics_ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
                text = reply.read().decode()
            yield from ((name, labels or "", float(value)) for name, labels, value in _LINE.findall(text))

    def _topic_bytes(self) -> dict[str, int]:
        """Return the bytes of the segments of each topic, of one replica."""
        found = {}
        for topic in _TOPICS:
            files = self._stack.state.glob(f"kafka*/*/{Topics().prefix}.{topic}-*/*.log")
            found[topic] = sum(path.stat().st_size for path in files) // self.topology.replicas
        return found

    def _record_bytes(self, before: Mapping[str, int], sent: int, label: str) -> dict[str, float]:
        """Return bytes for each record of each topic that the load has made."""
        written = {topic: size - before[topic] for topic, size in self._topic_bytes().items()}
        rows = {table: self._rows(table, label) for table in _TABLES}
        records = {
            "items.v1": sent,
            "events.v1": rows["events"] + rows["identifies"],
            "identifies.v1": rows["identifies"],
            "duplicates.v1": rows["duplicates"],
            # A state replaces the one before it, and a few users have several.
            "persons.v1": rows["identifies"],
        }
        return {without_prefix(name): written[name] / number for name, number in records.items() if number > 100}

    def _rows(self, table: str, label: str) -> int:
        condition = f"startsWith(user_id, '{label}-')"
        return int(self._stack.clickhouse.query(f"SELECT count() FROM {table} WHERE {condition}"))  # noqa: S608  # our own names

    def counted_per_row(self) -> float:
        """Return the rows that passes of the catalogue have read for each row of its tables."""
        rows = sum(self._rows(table, label) for table in ("events", "identifies") for label in self._labels)
        return self._counted()["counted"] / rows


@asynccontextmanager
async def running(topology: Topology) -> AsyncIterator[MeasuredStack]:
    """Run a stack with the processes and partitions of *topology*, which has as many workers of each kind."""
    workers = topology.dedupe
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        stack = Stack(Path(directory))
        stack.gateway = free_ports(topology.gateways)
        first = free_ports(workers * len(WORKERS))
        stack.environ |= {
            "SEQUENCE_GATEWAY_PORT": str(stack.gateway),
            "SEQUENCE_LOCAL_METRICS_PORT": str(first),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(free_ports(topology.brokers)),
            "SEQUENCE_LOCAL_GATEWAYS": str(topology.gateways),
            "SEQUENCE_LOCAL_WORKERS": str(workers),
            "SEQUENCE_LOCAL_BROKERS": str(topology.brokers),
            "SEQUENCE_PARTITIONS": str(topology.partitions),
        }
        await asyncio.to_thread(stack.start)
        try:
            yield MeasuredStack(stack, topology, list(range(first, first + workers * len(WORKERS))))
        finally:
            await asyncio.to_thread(_killed, stack)


def _killed(stack: Stack) -> None:
    """Kill *stack*, and wait until its processes have ended: they write into its directory."""
    processes = [psutil.Process(pid) for pid in stack.processes()[1:]] if stack.is_up() else []
    stack.kill()
    psutil.wait_procs(processes, timeout=30)


def _part(service: str) -> str | None:
    """Return the part that the process of *service* belongs to, None if it is none of them."""
    kind = service.partition("-")[0]
    return kind if kind in PARTS else None


def _by_part(values: Mapping[str, float]) -> dict[str, float]:
    found = dict.fromkeys(PARTS, 0.0)
    for service, value in values.items():
        if (part := _part(service)) is not None:
            found[part] += value
    return found


def _stage_of(labels: str) -> str:
    if "items.v1" in labels:
        return "dedupe"
    return "persons" if "identifies.v1" in labels else "sink"
