"""Rounds: contenders of one comparison take turns, so that whatever else the machine does hurts them alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deploy.bench.results import Row, Sample


@dataclass(frozen=True, slots=True)
class Contender:
    """What takes part in a comparison: each call of *measure* is one measurement."""

    name: str
    unit: str
    measure: Callable[[], Awaitable[Sample]]


async def compete(group: str, contenders: list[Contender], rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Let *contenders* take turns for *rounds* and return a row for each."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            samples[contender.name].append(await contender.measure())
    rows = [Row(group, contender.name, contender.unit, samples[contender.name]) for contender in contenders]
    for row in rows:
        say(f"{group}: {row.name}: {row.value:,.0f} {row.unit} ({row.span[0]:,.0f} … {row.span[1]:,.0f})")
    return rows
