"""The loads that the coefficients of `sequence capacity` are fitted to, and those that check them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.operate.capacity import Load, Topology

IDLE_SECONDS = 6.0
WARM_SECONDS = 12.0
WARM = Load(8_000, 250, 4, per_request=50)
"""Java compiles what it runs often, so the first load of a stack is not measured."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A load of the plan."""

    name: str
    load: Load
    seconds: float = 10.0
    is_check: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One stack with its loads, in an order in which memory grows."""

    name: str
    topology: Topology
    offered: Sequence[Offered]
    warm: Load = WARM
    warm_seconds: float = WARM_SECONDS
    has_idle: bool = True
    """Whether the stack is measured without events as well."""


def _check(name: str, load: Load, seconds: float = 12.0) -> Offered:
    return Offered(name, load, seconds, is_check=True)


_B = Load(3_000, 400, 8)
_BUSY = Load(6_000, 400, 8)
FIT = Run(
    "fit",
    Topology(4),
    (
        Offered("one event a request", Load(300, 250, 4, per_request=1)),
        Offered("slow", Load(400, 300, 6, per_request=20, identifies=0.1)),
        Offered("more single events", Load(1_500, 250, 4, per_request=1)),
        Offered("small", Load(5_000, 250, 4)),
        Offered("duplicates and identifies", Load(4_000, 300, 6, identifies=0.3, duplicates=0.2)),
        Offered("large", Load(1_500, 2_000, 6, per_request=50)),
        Offered("many names", Load(3_000, 1_000, 40, per_request=50)),
        Offered("fast", Load(15_000, 250, 4, per_request=200)),
        Offered("large and fast", Load(4_000, 1_500, 10)),
    ),
)
PROCESSES = Run(
    "processes",
    Topology(12, gateways=2, dedupe=2, persons=2, sinks=2),
    (
        Offered("two processes, slow", Load(1_000, 300, 6, per_request=20)),
        Offered("two processes, fast", Load(8_000, 300, 6)),
        _check("E, two processes", _BUSY, 20),
    ),
)
CHECK = Run(
    "check",
    Topology(6),
    (
        _check("D", Load(1_500, 400, 8, per_request=500, identifies=0.01, duplicates=0), 10),
        _check("A", Load(800, 600, 12, per_request=10, identifies=0.1)),
        _check("B", _B),
        _check("C", Load(6_000, 350, 5, per_request=250, identifies=0.02, duplicates=0.05)),
    ),
)
TWO = Run(
    "two",
    Topology(8, gateways=2, dedupe=2, persons=2, sinks=2),
    (_check("B, two processes", _B, 8),),
    warm=Load(4_000, 250, 4),
    warm_seconds=5,
    has_idle=False,
)
BUSY = Run(
    "busy",
    Topology(12),
    (
        _check("F", Load(1_000, 600, 12, per_request=10, identifies=0.1), 25),
        _check("G", _BUSY, 25),
        _check("H", Load(10_000, 350, 5, per_request=250, identifies=0.02, duplicates=0.05), 25),
    ),
)
RUNS = (FIT, PROCESSES, CHECK, TWO, BUSY)
BEYOND = frozenset({"D", "E, two processes", "F", "G", "H"})
"""Loads at which a prediction is not claimed to be within 25 %.

D is the first load of its stack, in which ClickHouse still works on the load before it. The others take nine tenths of
two cores: CPU time of the same work grows there, and INSERTs are slower and fewer.
"""
