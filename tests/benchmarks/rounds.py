"""Interleaved rounds: candidates take turns, so that a change in machine speed affects all of them alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.benchmarks.results import Row, Sample


@dataclass(frozen=True, slots=True)
class Candidate:
    """A participant in a comparison; each call of *measure* takes one sample."""

    name: str
    unit: str
    measure: Callable[[], Awaitable[Sample]]


async def run_interleaved(
    group: str, candidates: list[Candidate], rounds: int, say: Callable[[str], None]
) -> list[Row]:
    """Measure *candidates* in turn for *rounds* rounds; return a row for each."""
    samples: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
    for number in range(1, rounds + 1):
        for candidate in candidates:
            sample = await candidate.measure()
            samples[candidate.name].append(sample)
            say(f"{group} {number}/{rounds}: {candidate.name}: {sample.value:,.1f} {candidate.unit}")
    return [Row(group, candidate.name, candidate.unit, samples[candidate.name]) for candidate in candidates]
