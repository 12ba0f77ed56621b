"""`python -m tests.hostile`: attacks on a gateway of its own, as a table; with `--minutes N` requests by chance."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import requests
from hypothesis import HealthCheck, Phase, given, settings

from schemas.settings import KafkaSettings
from tests.hostile.attacks import ATTACKS, VARIABLES, carry_out
from tests.hostile.chance import judge
from tests.hostile.requests_by_chance import Chance, chances
from tests.hostile.target import Target, attacked
from tests.support.services import kafka_server


async def show(target: Target) -> int:
    """Print a line for each attack and return how many were not answered as expected."""
    wrong = 0
    sys.stdout.write("| Input | Answer | ms | MiB before | after |\n| --- | --- | ---: | ---: | ---: |\n")
    for name, (expected, make) in ATTACKS.items():
        outcome = await carry_out(target, make())
        wrong += not outcome.is_as(expected)
        mark = "" if outcome.is_as(expected) else f", expected {expected}"
        memory = f"{outcome.before_mib:.0f} | {outcome.after_mib:.0f}"
        sys.stdout.write(f"| {name} | {outcome.told}{mark} | {outcome.seconds * 1000:.0f} | {memory} |\n")
    return wrong


def send_by_chance(target: Target, minutes: float) -> int:
    """Send requests by chance and print what came of them, minute by minute; return how many were answered wrongly."""
    statuses: Counter[int] = Counter()
    ending = time.monotonic() + minutes * 60
    shown_at = time.monotonic()
    while time.monotonic() < ending:

        @given(chance=chances())
        @settings(
            max_examples=500,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],
        )
        def send(chance: Chance) -> None:
            statuses[judge(target, chance)] += 1

        send()
        if time.monotonic() - shown_at > 60 or time.monotonic() >= ending:
            shown_at = time.monotonic()
            told = ", ".join(f"{status or 'none'}: {count}" for status, count in sorted(statuses.items()))
            sys.stdout.write(f"{statuses.total()} requests, {target.memory_mib():.0f} MiB; {told}\n")
            sys.stdout.flush()
    numbers = requests.get(f"http://127.0.0.1:{target.port}/metrics", timeout=10).text
    return "sequence_gateway_unexpected_errors_total 0.0" not in numbers


def main() -> int:
    """Return 1 where an answer was not the expected one."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="send requests by chance for so long")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="sequence-hostile-") as directory:
        place = Path(directory)
        with (
            kafka_server(place / "kafka") as address,
            attacked(KafkaSettings(bootstrap_servers=address, topic_prefix="hostile"), place, **VARIABLES) as target,
        ):
            wrong = send_by_chance(target, minutes) if minutes else asyncio.run(show(target))
            return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
