"""`python -m tests.faults.normal_load`: no alert fires under normal load. Prints each alert that is pending or fires.

Runs `sequence up` with its defaults, `sequence audit --watch` and Prometheus with the rules of `deploy/grafana`. Some
items are repeats and some are invalid. It tolerates other work on the machine. Exits with 1 if an alert fired.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from tests.faults.alerting import INTERVAL_SECONDS
from tests.faults.client import Client
from tests.faults.ledger import Ledger
from tests.faults.quiet import QuietStack
from tests.support.prometheus import Prometheus
from tests.support.repeated_audit import repeated_audit
from tests.support.services import free_port, running

POLL_SECONDS = 5.0


class Watched:
    """Alerts as they were seen, and a line for each change."""

    def __init__(self) -> None:
        self.fired: set[str] = set()
        self._known: set[tuple[str, str]] = set()

    def note(self, prometheus: Prometheus) -> None:
        """Print what has begun or ended, with the load of the machine."""
        found = {(rule["name"], rule["state"]) for rule in prometheus.rules() if rule["state"] != "inactive"}
        for name, state in sorted(found ^ self._known):
            said = state if (name, state) in found else f"no longer {state}"
            _print(f"{name}: {said}; load {' '.join(f'{each:.1f}' for each in os.getloadavg())}")
        self.fired |= {name for name, state in found if state == "firing"}
        self._known = found


@contextmanager
def _observed(stack: QuietStack, directory: Path) -> Iterator[Prometheus]:
    """Run Prometheus and the repeated audit beside *stack*."""
    audit_port = free_port()
    prometheus = Prometheus(directory / "prometheus", [*stack.metrics_ports, audit_port], INTERVAL_SECONDS)
    with repeated_audit(stack.environ, directory / "audit.log", audit_port), running(prometheus.service):
        yield prometheus


def watch(directory: Path, minutes: float, rate: float) -> set[str]:
    """Send *rate* items a second for *minutes*, and return the alerts that fired."""
    stack, watched, ledger = QuietStack(directory, each=1), Watched(), Ledger(seed=1)
    with stack.running(), _observed(stack, directory) as prometheus:
        client = Client(stack.gateways, stack.token, ledger)
        client.start(rate=rate)
        ends_at = monotonic() + 60 * minutes
        while monotonic() < ends_at:
            watched.note(prometheus)
            sleep(POLL_SECONDS)
        client.stop()
        audited = {
            each["metric"]["topic"]: each["value"][1] for each in prometheus.query("sequence_audit_missing_items")
        }
        _print(f"{len(ledger.entries)} items sent; replies {dict(client.statuses)}; missing by the audit: {audited}")
    return watched.fired


def _print(line: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run in a temporary directory, or in one that is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.normal_load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=100.0, help="items a second")
    parser.add_argument("--directory", type=Path, help="keep state and logs here; must be empty")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sequence-normal-") as temporary:
        directory = arguments.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        fired = watch(directory, arguments.minutes, arguments.rate)
    _print(f"fired in {arguments.minutes:g} minutes: {', '.join(sorted(fired)) or 'none'}")
    raise SystemExit(bool(fired))


if __name__ == "__main__":
    main()
