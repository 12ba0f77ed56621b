"""`python -m tests.hostile`: a table of attacks and replies; with `--minutes N`, random requests instead."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import requests
from hypothesis import HealthCheck, Phase, given, settings

from schemas.settings import KafkaSettings
from tests.hostile.attacks import ATTACKS, CONNECTION_ATTACKS, SLOW_CLIENTS, VARIABLES, Attacks, carry_out
from tests.hostile.fuzzer import check_reply
from tests.hostile.random_requests import RandomRequest, random_requests
from tests.hostile.target import Target, running_gateway
from tests.support.services import kafka_server


async def show(target: Target, attacks: Attacks) -> int:
    """Print a row for each attack and return the number of unexpected replies."""
    wrong = 0
    for name, (expected, make) in attacks.items():
        outcome = await carry_out(target, make())
        wrong += not outcome.matches(expected)
        mark = "" if outcome.matches(expected) else f", expected {expected}"
        memory = f"{outcome.before_mib:.0f} | {outcome.after_mib:.0f}"
        sys.stdout.write(f"| {name} | {outcome.answer}{mark} | {outcome.seconds * 1000:.0f} | {memory} |\n")
    return wrong


def fuzz(target: Target, minutes: float) -> int:
    """Send random requests for *minutes*, print the replies by status every minute, and return 1 after an error."""
    statuses: Counter[int] = Counter()
    end = time.monotonic() + minutes * 60
    shown_at = time.monotonic()
    while time.monotonic() < end:

        @given(request=random_requests())
        @settings(
            max_examples=500,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=[Phase.generate],
        )
        def send(request: RandomRequest) -> None:
            statuses[check_reply(target, request)] += 1

        send()
        if time.monotonic() - shown_at > 60 or time.monotonic() >= end:
            shown_at = time.monotonic()
            replies = ", ".join(f"{status or 'none'}: {count}" for status, count in sorted(statuses.items()))
            sys.stdout.write(f"{statuses.total()} requests, {target.memory_mib():.0f} MiB; {replies}\n")
            sys.stdout.flush()
    metrics = requests.get(f"http://127.0.0.1:{target.port}/metrics", timeout=10).text
    return "sequence_gateway_unexpected_errors_total 0.0" not in metrics


def main() -> int:
    """Return 1 after an unexpected reply."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="send random requests for so many minutes")
    minutes = parser.parse_args().minutes
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="sequence-hostile-") as directory:
        path = Path(directory)
        with kafka_server(path / "kafka") as address:
            kafka = KafkaSettings(bootstrap_servers=address, topic_prefix="hostile")
            if minutes:
                with running_gateway(kafka, path, **VARIABLES) as target:
                    return fuzz(target, minutes)
            sys.stdout.write("| Attack | Reply | ms | MiB before | after |\n| --- | --- | ---: | ---: | ---: |\n")
            for prefix, attacks, variables in (
                ("hostile", ATTACKS, VARIABLES),
                ("connections", CONNECTION_ATTACKS, SLOW_CLIENTS),
            ):
                with running_gateway(replace(kafka, topic_prefix=prefix), path, **variables) as target:
                    wrong += asyncio.run(show(target, attacks))
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
