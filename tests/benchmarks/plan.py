"""Size of a benchmark run, and the alternatives given by the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a run."""

    rounds: int = 5
    entries: int = 10_000_000
    """Dedupe entries in the store of the comparison by state."""
    recovered: int = 1_000_000
    sustained_seconds: int = 60
    items_per_second: int = 33_000
    """Rate offered to the whole pipeline. The sustained rate is lower, because it counts until the last row."""
    gateway_seconds: int = 8
    """Duration of each gateway measurement of the main comparison; other batch sizes take a second each.

    All connections open at once, so a short measurement would give the first requests too much weight.
    """
    connections: tuple[int, ...] = (16, 32, 64)
    batches: tuple[int, ...] = (1, 10, 100, 500)
    latencies: tuple[int, ...] = (100, 2_000, 10_000)
    """Rates in items/s at which latency is measured."""
    latency_seconds: int = 5
    names: tuple[int, ...] = (60, 600, 6_000, 60_000)
    """Numbers of property names of the comparison by names."""
    named_rows: int = 100_000
    """Rows of each candidate and shape of that comparison."""
    queried_rows: int = 5_000_000
    """Rows that the comparison of functions reads."""
    counted_rows: int = 1_000_000
    """Rows of each round that the comparison of the catalogue inserts and counts."""
    cookbook_events: int = 10_000_000
    """Events of the comparison by the cookbook."""
    peers: Mapping[str, str] = field(default_factory=dict)
    """Commands of other dedupe implementations, by name."""


QUICK = Plan(
    rounds=3,
    entries=1_000_000,
    recovered=200_000,
    sustained_seconds=10,
    gateway_seconds=1,
    connections=(64,),
    batches=(1, 100),
    names=(60, 6_000),
    named_rows=40_000,
    queried_rows=500_000,
    counted_rows=400_000,
    cookbook_events=300_000,
)
"""A run of a few minutes that shows whether something broke."""
