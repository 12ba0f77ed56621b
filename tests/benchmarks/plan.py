"""How much of the benchmark is run, and beside what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a run."""

    rounds: int = 5
    marks: int = 10_000_000
    """Marks in the store of the comparison by state."""
    recovered: int = 1_000_000
    sustained_seconds: int = 60
    items_per_second: int = 33_000
    """What the whole pipeline is offered; the last row comes some time after it, so it takes in less than that."""
    gateway_seconds: int = 8
    """How long each gateway is measured, so that the first requests, which all come at once, do not count for much.

    With other batches and numbers of connections it is a second.
    """
    connections: tuple[int, ...] = (16, 32, 64)
    batches: tuple[int, ...] = (1, 10, 100, 500)
    latencies: tuple[int, ...] = (100, 2_000, 10_000)
    """Rates at which latency is measured."""
    latency_seconds: int = 5
    peers: Mapping[str, str] = field(default_factory=dict)
    """Commands of dedupes that are not ours, by name."""


QUICK = Plan(
    rounds=3,
    marks=1_000_000,
    recovered=200_000,
    sustained_seconds=10,
    gateway_seconds=1,
    connections=(64,),
    batches=(1, 100),
)
"""Enough to see whether something broke, in a few minutes."""
