"""The model of `sequence capacity`: the CPU time and memory that a load takes of each part. Pure.

The CPU time of a part is a sum: of its processes, of its batches, and of its events with their bytes and names. Batches
are counted apart, because below saturation a stage collects for a constant time: at a low rate each event has more of
the cost of its batch. `deploy.operate.capacity_coefficients` has what each of them costs, and how that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.operate.capacity_coefficients import COUNTED_PER_ROW, CPU_MICROSECONDS, MEMORY_MIB

PARTS = ("gateway", "dedupe", "persons", "sink", "kafka", "clickhouse")
"""The parts of a deployment, in the order of the flow."""

GATEWAY_LINGER_SECONDS = 0.005
DEDUPE_LINGER_SECONDS = 0.04
PERSONS_LINGER_SECONDS = 0.1
SINK_LINGER_SECONDS = 0.25
TABLE_LINGER_SECONDS = 0.4
INSERT_ROWS = 30_000
INSERT_BATCHES = 4
"""Constants of the stages, which a test compares with theirs: no client of Kafka is imported here."""
FOLLOWER_SHARE = 1.0
"""CPU time of a replica that follows, as a share of that of its leader: a choice, no measurement."""

Costs = Mapping[str, Mapping[str, float]]
"""By part, the cost of each unit."""
Units = Mapping[str, Mapping[str, float]]
"""By part, the number of units; those of CPU time are per second."""


@dataclass(frozen=True, slots=True)
class Load:
    """What producers send."""

    events_per_second: float
    event_bytes: float
    """Bytes of an event in the body of its request."""
    names: float
    """Properties, or traits, of an event."""
    per_request: float = 100
    """Events of a request."""
    identifies: float = 0.05
    """Share of the events that are identifies."""
    duplicates: float = 0.01
    """Share of the events that were sent before."""

    @property
    def requests(self) -> float:
        """Requests per second."""
        return self.events_per_second / self.per_request

    @property
    def unique(self) -> float:
        """Unique events per second, identifies included."""
        return self.events_per_second * (1 - self.duplicates)

    @property
    def unique_identifies(self) -> float:
        """Unique identifies per second."""
        return self.unique * self.identifies

    @property
    def rows(self) -> float:
        """Rows per second of all tables: of unique events, of duplicates, and of persons that an identify changes."""
        return self.events_per_second + self.unique_identifies

    @property
    def records(self) -> float:
        """Records per second of all topics: items, events or duplicates, and two for an identify."""
        return 2 * self.events_per_second + 2 * self.unique_identifies


@dataclass(frozen=True, slots=True)
class Topology:
    """The processes of a deployment, and its topics."""

    partitions: int
    gateways: int = 1
    dedupe: int = 1
    persons: int = 1
    sinks: int = 1
    brokers: int = 1
    replicas: int = 1
    """Copies of each partition, its leader included."""

    def processes(self, part: str) -> int:
        """Return the number of processes of *part*."""
        counts = (self.gateways, self.dedupe, self.persons, self.sinks, self.brokers, 1)
        return dict(zip(PARTS, counts, strict=True))[part]

    @property
    def clients(self) -> int:
        """Processes that are connected to Kafka."""
        return self.gateways + self.dedupe + self.persons + self.sinks


@dataclass(frozen=True, slots=True)
class Stage:
    """How often the processes of a stage start per second, and how many batches they write."""

    starts: float
    batches: float
    """Runs of records of one partition that are written together; a start has one of each partition with records."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What happens per second."""

    gateway: Stage
    dedupe: Stage
    persons: Stage
    inserts: float
    """INSERTs into all tables."""

    @property
    def produced(self) -> Stage:
        """Requests and batches that are written to Kafka."""
        stages = (self.gateway, self.dedupe, self.persons)
        return Stage(sum(stage.starts for stage in stages), sum(stage.batches for stage in stages))


def rounds(arrivals: float, linger_seconds: float) -> float:
    """Return how often per second a stage starts, of *arrivals* per second at random times.

    It starts with an arrival, or when the linger since its last start is over and something waits.
    """
    if arrivals <= 0:
        return 0.0
    return 1 / (linger_seconds + math.exp(-arrivals * linger_seconds) / arrivals)


def occupied(partitions: float, records: float) -> float:
    """Return how many of *partitions* have at least one of *records* that are spread at random."""
    if partitions <= 1:
        return min(1.0, records)
    return float(partitions * (1 - (1 - 1 / partitions) ** records))


def rates(load: Load, topology: Topology) -> Rates:
    """Return what *load* makes happen per second."""
    flushes = topology.gateways * rounds(load.requests / topology.gateways, GATEWAY_LINGER_SECONDS)
    gateway = Stage(flushes, _spread(flushes, topology.partitions, load.events_per_second))
    dedupe = _stage(flushes, load.events_per_second, topology.dedupe, topology, DEDUPE_LINGER_SECONDS)
    identifies, sinks = load.unique_identifies, topology.sinks
    persons = _stage(dedupe.starts, identifies, topology.persons, topology, PERSONS_LINGER_SECONDS)
    events = _stage(dedupe.starts, load.unique, sinks, topology, SINK_LINGER_SECONDS)
    states = _stage(persons.starts, identifies, sinks, topology, TABLE_LINGER_SECONDS)
    repeated = _stage(dedupe.starts, load.events_per_second - load.unique, sinks, topology, TABLE_LINGER_SECONDS)
    # The rows of a start are events, and some of them identifies, which have a table of their own.
    with_identifies = _at_least_one(identifies, events.starts)
    inserts = max(_inserts(events), load.unique / INSERT_ROWS) * (1 + with_identifies)
    return Rates(gateway, dedupe, persons, inserts + _inserts(states) + _inserts(repeated))


def _stage(arrivals: float, records: float, workers: int, topology: Topology, linger_seconds: float) -> Stage:
    """Return what the *workers* of a stage do, to whom *records* come in so many *arrivals*, all per second."""
    starts = workers * rounds(min(arrivals, records / workers), linger_seconds)
    return Stage(starts, _spread(starts, topology.partitions / workers, records))


def _spread(starts: float, partitions: float, records: float) -> float:
    """Return the batches of *starts* per second with *records* per second, each over *partitions*."""
    return starts * occupied(partitions, records / starts) if starts else 0.0


def _at_least_one(records: float, starts: float) -> float:
    """Return the share of *starts* that have at least one of *records* that come at random."""
    return -math.expm1(-records / starts) if starts else 0.0


def _inserts(stage: Stage) -> float:
    """Return the INSERTs into one table: a sink prepares `INSERT_BATCHES` partitions at a time, which share one."""
    return stage.starts * math.ceil(stage.batches / stage.starts / INSERT_BATCHES) if stage.starts else 0.0


def units(load: Load, topology: Topology) -> dict[str, dict[str, float]]:
    """Return the units per second of each part that cost CPU time."""
    made = rates(load, topology)
    events, identifies, rows = load.events_per_second, load.unique_identifies, load.rows
    # A follower fetches what its leader writes. The processes of brokers cost the same without records.
    copies = 1 + FOLLOWER_SHARE * (topology.replicas - 1)
    found = {
        "gateway": {"request": load.requests, **_written(made.gateway), **_contents(events, load, names=True)},
        "dedupe": {**_written(made.dedupe), **_contents(events, load)},
        "persons": {**_written(made.persons), **_contents(identifies, load, names=True)},
        "sink": {"insert": made.inserts, **_contents(rows, load, names=True)},
        "kafka": {
            "partition": float(topology.partitions * topology.replicas),
            "client": float(topology.clients),
            **_written(made.produced, copies),
            **_contents(copies * load.records, load),
        },
        "clickhouse": {
            "sink": float(topology.sinks),
            "insert": made.inserts,
            **_contents(rows, load, names=True),
            "counted": COUNTED_PER_ROW * load.unique,
        },
    }
    return {part: {"process": float(topology.processes(part)), **counted} for part, counted in found.items()}


def _written(stage: Stage, copies: float = 1.0) -> dict[str, float]:
    return {"start": copies * stage.starts, "batch": copies * stage.batches}


def _contents(events: float, load: Load, *, names: bool = False) -> dict[str, float]:
    counted = {"event": events, "kilobyte": events * load.event_bytes / 1000}
    return counted | {"name": events * load.names} if names else counted


def cores(load: Load, topology: Topology, costs: Costs = CPU_MICROSECONDS) -> dict[str, float]:
    """Return the seconds of CPU time that each part takes per second, all its processes together."""
    return {part: sum_of(counted, costs[part]) / 1e6 for part, counted in units(load, topology).items()}


def memory_units(load: Load, topology: Topology) -> dict[str, dict[str, float]]:
    """Return the units of each part that take memory."""
    megabytes = load.events_per_second * load.event_bytes / 1e6
    found = {}
    for part in PARTS:
        # A partition is in one process, a replica of it in each of several brokers.
        copies = {"dedupe": 1, "persons": 1, "sink": 1, "kafka": topology.replicas}.get(part, 0)
        found[part] = {
            "process": float(topology.processes(part)),
            "partition": float(copies * topology.partitions),
            "megabyte": megabytes,
        }
    return found


def memory(load: Load, topology: Topology, costs: Costs = MEMORY_MIB) -> dict[str, float]:
    """Return the peak resident MiB of each part, all its processes together."""
    return {part: sum_of(counted, costs[part]) for part, counted in memory_units(load, topology).items()}


def sum_of(counted: Mapping[str, float], costs: Mapping[str, float]) -> float:
    """Return what *counted* units cost. A unit without a cost is free."""
    return sum(number * costs.get(unit, 0.0) for unit, number in counted.items())
