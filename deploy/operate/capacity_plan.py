"""From the cost of a load to a deployment: processes, brokers, partitions, and where one of them is the limit. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from deploy.operate import capacity_disk as disk
from deploy.operate.capacity import PARTS, Load, Topology, cores, memory
from deploy.operate.capacity_coefficients import CPU_MICROSECONDS

BUSY = 0.6
"""Share of a core that is planned for: the rest is for peaks, and for what is late after a restart."""
FULL = 0.7
"""Share of a disk that is planned for: merges and compactions write before they delete."""
PEAK = 1.5
"""Memory that is planned for, as a multiple of the measured peak."""
BROKER_CORES = 8
"""Cores of a broker."""
SERVER_CORES = 64
"""Cores of a large ClickHouse server. The tables have no shards."""
PARTITIONS = (12, 24, 48, 96, 192, 384, 768, 1536, 3072)
"""Numbers of partitions that many numbers of workers divide."""
WRITE_BUFFERS_BYTES = 2 * 8 * 1024**2
"""Those of a partition of a local store: they fill within hours, so a measured peak lacks them."""
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Part:
    """What the processes of a part need together."""

    part: str
    processes: int
    cores_used: float
    memory_used: float
    """Bytes."""
    disk_used: float
    """Bytes."""

    @property
    def cores(self) -> float:
        """Cores to provide."""
        return self.cores_used / BUSY

    @property
    def memory(self) -> float:
        """Bytes of memory to provide."""
        return self.memory_used * PEAK

    @property
    def disk(self) -> float:
        """Bytes of disk to provide."""
        return self.disk_used / FULL

    def describe(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "part": self.part,
            "processes": self.processes,
            "cores": round(self.cores, 3),
            "coresUsed": round(self.cores_used, 3),
            "memoryBytes": round(self.memory),
            "memoryUsedBytes": round(self.memory_used),
            "diskBytes": round(self.disk),
            "diskUsedBytes": round(self.disk_used),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """What no number of processes raises, for events of this size."""

    partition_items: float
    """Items per second of one partition, and so of one messageId: one dedupe worker with one core."""
    user_identifies: float
    """Identifies per second of one user: one persons worker with one core."""
    insert_rows: float
    """Rows per second that one sink writes into a table: one INSERT at a time, in one thread of ClickHouse."""

    def describe(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "partitionItemsPerSecond": round(self.partition_items),
            "userIdentifiesPerSecond": round(self.user_identifies),
            "insertRowsPerSecond": round(self.insert_rows),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment for a load."""

    load: Load
    kept: disk.Kept
    topology: Topology
    parts: tuple[Part, ...]
    limits: Limits
    topics: Mapping[str, float]
    tables: Mapping[str, float]
    stores: Mapping[str, float]
    written: float
    """Bytes per second that the brokers get, before replication."""
    notes: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "partitions": self.topology.partitions,
            "brokers": self.topology.brokers,
            "parts": [part.describe() for part in self.parts],
            "topics": _rounded(self.topics),
            "tables": _rounded(self.tables),
            "stores": _rounded(self.stores),
            "kafkaBytesPerSecond": round(self.written),
            "limits": self.limits.describe(),
            "notes": list(self.notes),
        }


def plan(load: Load, kept: disk.Kept, mean_per_second: float | None = None) -> Plan:
    """Return the deployment for *load*; disks hold *mean_per_second* events per second, by default those of *load*."""
    topology = _topology(load, kept)
    kept = replace(kept, partitions=topology.partitions)
    stored = load if mean_per_second is None else replace(load, events_per_second=mean_per_second)
    topics, tables, stores = (
        disk.topic_bytes(stored, kept),
        disk.table_bytes(stored, kept),
        disk.store_bytes(stored, kept),
    )
    disks = {"kafka": sum(topics.values()), "clickhouse": sum(tables.values()), **stores}
    used, peaks = cores(load, topology), {part: size * _MIB for part, size in memory(load, topology).items()}
    for part in ("dedupe", "persons"):
        peaks[part] += WRITE_BUFFERS_BYTES * topology.partitions * (1 + kept.standbys)
    parts = tuple(Part(part, topology.processes(part), used[part], peaks[part], disks.get(part, 0.0)) for part in PARTS)
    limit = limits(load)
    written = sum(disk.written_per_second(load).values())
    return Plan(
        load, kept, topology, parts, limit, topics, tables, stores, written, tuple(_notes(load, topology, used, limit))
    )


def _topology(load: Load, kept: disk.Kept) -> Topology:
    """Return the processes that keep each below `BUSY`. More processes cost more, so it is found by repetition."""
    topology = Topology(PARTITIONS[0], brokers=kept.replicas, replicas=kept.replicas)
    while True:
        used = cores(load, topology)
        inserting = load.unique / limits(load).insert_rows
        workers = {
            "dedupe": _processes(used["dedupe"], topology.dedupe),
            "persons": _processes(used["persons"], topology.persons),
            "sinks": _processes(max(used["sink"], inserting), topology.sinks),
        }
        found = replace(
            topology,
            **workers,
            gateways=_processes(used["gateway"], topology.gateways),
            brokers=max(topology.brokers, math.ceil(used["kafka"] / (BUSY * BROKER_CORES))),
            partitions=max(topology.partitions, partitions_for_workers(max(workers.values()))),
        )
        if found == topology:
            return topology
        topology = found


def _processes(used: float, at_least: int) -> int:
    return max(at_least, math.ceil(used / BUSY))


def partitions_for_workers(workers: int) -> int:
    """Return a number of partitions that is at least twice *workers* and divided by many numbers."""
    return next((number for number in PARTITIONS if number >= 2 * workers), 2 * workers)


def limits(load: Load) -> Limits:
    """Return where one partition, one user and one INSERT end, each with a core to itself."""
    contents = {"event": 1.0, "kilobyte": load.event_bytes / 1000, "name": load.names}

    def per_second(part: str) -> float:
        costs = CPU_MICROSECONDS[part]
        return 1e6 / sum(number * costs.get(unit, 0.0) for unit, number in contents.items())

    return Limits(per_second("dedupe"), per_second("persons"), per_second("clickhouse"))


def _notes(load: Load, topology: Topology, used: Mapping[str, float], limit: Limits) -> list[str]:
    """Return what a person should know of this plan."""
    notes = []
    if used["clickhouse"] / BUSY > SERVER_CORES:
        notes.append(
            f"ClickHouse needs {used['clickhouse'] / BUSY:,.0f} cores and is one server: the tables have no shards. "
            "Run several deployments, each with its own projects."
        )
    keys = (
        ("messageId", "events", "dedupe", limit.partition_items / load.events_per_second),
        ("user", "identifies", "persons", limit.user_identifies / max(load.unique_identifies, 1e-9)),
    )
    for key, events, part, whole_worker in keys:
        # The worker that has the partition of the key has other partitions as well.
        share = whole_worker * (1 - used[part] / topology.processes(part))
        if share < 1:
            notes.append(f"One {key} can be {100 * share:.2g} % of the {events}. With more, its partition lags.")
    return notes


def _rounded(sizes: Mapping[str, float]) -> dict[str, int]:
    return {name: round(size) for name, size in sizes.items()}
