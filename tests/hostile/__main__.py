"""`python -m tests.hostile`: every attack on a gateway of its own, as a table."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from schemas.settings import KafkaSettings
from tests.hostile.attacks import ATTACKS, VARIABLES, carry_out
from tests.hostile.target import Target, attacked
from tests.services import kafka_server


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


def main() -> int:
    """Return 1 where an answer was not the expected one."""
    with tempfile.TemporaryDirectory(prefix="sequence-hostile-") as directory:
        place = Path(directory)
        with (
            kafka_server(place / "kafka") as address,
            attacked(KafkaSettings(bootstrap_servers=address, topic_prefix="hostile"), place, **VARIABLES) as target,
        ):
            return int(asyncio.run(show(target)) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
