"""Rounds: contenders of one comparison take turns, so that whatever else the machine does hurts them alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.benchmarks.results import Row, Sample


@dataclass(frozen=True, slots=True)
class Candidate:
    """What takes part in a comparison: each call of *measure* is one measurement."""

    name: str
    unit: str
    measure: Callable[[], Awaitable[Sample]]


async def run_interleaved(
    group: str, contenders: list[Candidate], rounds: int, say: Callable[[str], None]
) -> list[Row]:
    """Let *contenders* take turns for *rounds* and return a row for each."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for number in range(1, rounds + 1):
        for contender in contenders:
            sample = await contender.measure()
            samples[contender.name].append(sample)
            say(f"{group} {number}/{rounds}: {contender.name}: {sample.value:,.1f} {contender.unit}")
    return [Row(group, contender.name, contender.unit, samples[contender.name]) for contender in contenders]
