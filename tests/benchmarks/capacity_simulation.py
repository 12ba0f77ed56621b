"""A million events a second over 100 partitions, on paper: `python -m tests.benchmarks.capacity_simulation`.

Keys are drawn, and the product's partitioner says where each goes. Workers have the coefficients of `sequence capacity`
and a core each. So it is seen whether the busiest partition and worker are near the mean that the model plans with, and
from which share on one messageId or one user is too much for its partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random

import click

from deploy.operate.capacity import Load, Topology, units
from deploy.operate.capacity_coefficients import CPU_MICROSECONDS
from schemas.records import item_key, partitions_for, person_key

PROJECT = "shop"
PARTITIONS = 100
LOAD = Load(1_000_000, 500, 10)
USERS = 1_000_000
SECONDS = 60
_AT_ONCE = 50_000
_ENOUGH = 0.001


@dataclass(frozen=True, slots=True)
class Outcome:
    """One stage after a minute."""

    mean: float
    """Records per second of a partition."""
    busiest: int
    """The same of the partition that has most."""
    mean_busy: float
    """Share of a core that a worker is busy, as the model plans."""
    most_busy: float
    """The same of the worker that has most to do."""
    lag: float
    """Records that wait for this worker after `SECONDS`."""


def message_keys(number: int, hot_share: float, chance: Random) -> Iterator[bytes]:
    """Yield the keys of *number* items with random messageIds, of which *hot_share* have the same one."""
    for _ in range(number):
        is_hot = chance.random() < hot_share
        yield item_key(PROJECT, "hot" if is_hot else chance.randbytes(16).hex())


def user_keys(number: int, users: int, exponent: float, chance: Random) -> Iterator[bytes]:
    """Yield the keys of *number* identifies; user n is as frequent as 1 / n ** *exponent* (Zipf's law)."""
    weights = list(accumulate(1 / (rank**exponent) for rank in range(1, users + 1)))
    for rank in chance.choices(range(users), cum_weights=weights, k=number):
        yield person_key(PROJECT, f"user-{rank}")


def hot_user_keys(number: int, hot_share: float, chance: Random) -> Iterator[bytes]:
    """Yield the keys of *number* identifies, of which *hot_share* are of one user, the others each of its own."""
    for serial in range(number):
        yield person_key(PROJECT, "hot" if chance.random() < hot_share else f"user-{serial}")


def spread(keys: Iterable[bytes], partitions: int) -> list[int]:
    """Return the number of *keys* in each of *partitions*."""
    counted: Counter[int] = Counter()
    waiting: list[bytes] = []
    for key in keys:
        waiting.append(key)
        if len(waiting) == _AT_ONCE:
            counted.update(partitions_for(waiting, partitions))
            waiting.clear()
    counted.update(partitions_for(waiting, partitions))
    return [counted[partition] for partition in range(partitions)]


def process(part: str, records: Sequence[int], load: Load, topology: Topology) -> Outcome:
    """Return how the workers of *part* are after a minute in which each second brings *records*, by partition."""
    workers = topology.processes(part)
    costs, counted = CPU_MICROSECONDS[part], units(load, topology)[part]
    fixed = sum(costs.get(unit, 0.0) * counted[unit] / workers for unit in ("process", "start", "batch")) / 1e6
    contents = ("event", "kilobyte", "name")
    each = sum(costs.get(unit, 0.0) * counted.get(unit, 0.0) for unit in contents) / counted["event"] / 1e6
    shares = [sum(records[worker::workers]) for worker in range(workers)]
    most = max(shares)
    # The CPU time that is missing each second is that of records which wait.
    lag = max(0.0, fixed + most * each - 1) / each * SECONDS
    mean = sum(records) / len(records)
    return Outcome(mean, max(records), fixed + sum(shares) / workers * each, fixed + most * each, lag)


def tolerated_share(load: Load, topology: Topology, part: str) -> float:
    """Return by simulation the largest share of one messageId, or of one user, at which its worker does not lag."""
    low, high = 0.0, 1.0
    number = round(units(load, topology)[part]["event"])
    even = number / topology.partitions
    while high - low > _ENOUGH:
        share = (low + high) / 2
        records = [round(even * (1 - share))] * topology.partitions
        records[0] += round(number * share)
        low, high = (share, high) if process(part, records, load, topology).lag == 0 else (low, share)
    return low


def sized(load: Load, partitions: int, busy: float) -> Topology:
    """Return the fewest dedupe and persons workers that are at most *busy*, if keys are spread evenly."""
    topology = Topology(partitions)
    while topology.dedupe < partitions and _mean_busy("dedupe", load, topology) > busy:
        topology = replace(topology, dedupe=topology.dedupe + 1)
    while topology.persons < partitions and _mean_busy("persons", load, topology) > busy:
        topology = replace(topology, persons=topology.persons + 1)
    return topology


def _mean_busy(part: str, load: Load, topology: Topology) -> float:
    number = units(load, topology)[part]["event"]
    return process(part, [round(number / topology.partitions)] * topology.partitions, load, topology).mean_busy


@click.command()
def main() -> None:
    """Print a line for each distribution of keys."""
    chance = Random(24)  # reproducible, not a secret
    topology = sized(LOAD, PARTITIONS, 0.6)
    items, identifies = round(LOAD.events_per_second), round(LOAD.unique_identifies)
    cases = [
        ("dedupe", "random messageIds", message_keys(items, 0, chance)),
        *(
            ("dedupe", f"{_percent(share)} with one messageId", message_keys(items, share, chance))
            for share in (0.02, 0.05, 0.1)
        ),
        ("persons", "users by Zipf's law", user_keys(identifies, USERS, 1.0, chance)),
        *(
            ("persons", f"{_percent(share)} of one user", hot_user_keys(identifies, share, chance))
            for share in (0.2, 0.5, 1)
        ),
    ]
    click.echo(f"{LOAD}\n{topology}")
    click.echo("| Stage | Keys | Mean partition | Busiest | Mean worker | Busiest | Lag after a minute |")
    click.echo("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for part, name, keys in cases:
        found = process(part, spread(keys, PARTITIONS), LOAD, topology)
        click.echo(
            f"| {part} | {name} | {found.mean:,.0f}/s | {found.busiest:,}/s | {_percent(found.mean_busy)} | "
            f"{_percent(found.most_busy)} | {found.lag:,.0f} |"
        )
    for part in ("dedupe", "persons"):
        click.echo(f"{part}: one key may be {100 * tolerated_share(LOAD, topology, part):.1f} %")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


if __name__ == "__main__":
    main()
