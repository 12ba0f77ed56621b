"""Injects faults one after the other beside a real Prometheus, and notes what reports each of them, and when.

Prometheus scrapes and evaluates at the interval of `deploy/grafana/prometheus.yml`. Before each fault nothing may fire.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from tests.faults import merges
from tests.faults.alert_faults import Reported
from tests.faults.trial import Step, Trial
from tests.support.prometheus import Prometheus
from tests.support.repeated_audit import repeated_audit
from tests.support.services import eventually, free_port, running

INTERVAL_SECONDS = 15
REPORTED_SECONDS = 120.0
"""Time within which each fault must be reported."""
WELL_SECONDS = 90.0
"""Time under load without a fault, in which no alert may fire."""
CATCH_UP_SECONDS = 45.0
"""Time in which rows that have waited become visible and are scraped."""
SILENT_SECONDS = 360.0
"""Time after the end of a fault within which every alert must end: their rules look back up to two minutes."""
UNREPORTED, UNSAID, WITHOUT_FAULT = (
    "faults without an alert",
    "faults of which no command tells",
    "alerts without a fault",
)


@dataclass(slots=True)
class Seen:
    """What reported a fault."""

    fault: str
    after: dict[str, float] = field(default_factory=dict)
    """By alert, the seconds from the injection until it fired."""
    said: dict[str, list[str]] = field(default_factory=dict)
    """By command, the findings."""
    is_said: bool = False

    def __str__(self) -> str:
        fired = ", ".join(f"{name} after {seconds:.0f} s" for name, seconds in self.after.items()) or "no alert"
        said = "; ".join(f"{command}: {' '.join(lines) or '-'}" for command, lines in self.said.items())
        return f"{self.fault}: {fired}; {said}"


def reporting(faults: Sequence[Reported], *, injected: bool = True) -> Step:
    """Inject each of *faults* and note what reports it. Without *injected*, wait as long and inject nothing."""

    def inject(trial: Trial) -> None:
        trial.violations |= dict.fromkeys((UNREPORTED, UNSAID, WITHOUT_FAULT), 0)
        # `sequence doctor` counts parts.
        merges.allow(trial.stack)
        with _watched(trial) as prometheus:
            _require_silence(trial, prometheus, WELL_SECONDS)
            if not injected:
                _compare_without(trial, prometheus, faults)
                return
            for fault in faults:
                seen = _observe(trial, prometheus, fault)
                trial.violations[UNREPORTED] += not seen.after.keys() & fault.alerts
                trial.violations[UNSAID] += not seen.is_said
                _note(trial, str(seen))
                _wait_for_silence(prometheus, fault.name)

    return inject


@contextmanager
def _watched(trial: Trial) -> Iterator[Prometheus]:
    """Run Prometheus and the repeated audit beside the stack."""
    stack, audit_port = trial.stack, free_port()
    directory = stack.state.parent
    prometheus = Prometheus(directory / "prometheus", [*stack.metrics_ports, audit_port], INTERVAL_SECONDS)
    audit = repeated_audit(stack.local_environ, directory / "audit.log", audit_port)
    with audit, running(prometheus.service):
        targets = len(stack.metrics_ports) + 1
        eventually(
            lambda: any(float(each["value"][1]) == targets for each in prometheus.query("sum(up)")),
            f"{targets} targets are up",
            every_seconds=1.0,
        )
        yield prometheus


def _require_silence(trial: Trial, prometheus: Prometheus, seconds: float) -> set[str]:
    """Count the alerts that fire within *seconds*, and return them."""
    since, fired = monotonic(), set[str]()
    eventually(
        lambda: fired.update(prometheus.firing()) or monotonic() - since > seconds,  # type: ignore[func-returns-value]
        "the time has passed",
        within_seconds=seconds + 60,
        every_seconds=1.0,
    )
    trial.violations[WITHOUT_FAULT] += len(fired)
    _note(trial, f"without a fault, {seconds:.0f} s: {', '.join(sorted(fired)) or 'no alert'}")
    return fired


def _compare_without(trial: Trial, prometheus: Prometheus, faults: Sequence[Reported]) -> None:
    """Count the faults that nothing reports although nothing was injected: all of them."""
    for fault in faults:
        seen = Seen(fault.name)
        trial.violations[UNSAID] += not _ask(trial, fault, seen)
        _note(trial, str(seen))
    fired = _require_silence(trial, prometheus, REPORTED_SECONDS)
    trial.violations[UNREPORTED] += sum(not fired & fault.alerts for fault in faults)


def _observe(trial: Trial, prometheus: Prometheus, fault: Reported) -> Seen:
    """Inject *fault* until it is reported, and return what reported it."""
    seen = Seen(fault.name)
    with fault.inject(trial):
        began = monotonic()

        def reported() -> bool:
            for name in prometheus.firing():
                seen.after.setdefault(name, monotonic() - began)
            return bool(seen.after.keys() & fault.alerts) or monotonic() - began > REPORTED_SECONDS

        eventually(reported, "it is reported", within_seconds=REPORTED_SECONDS + 60, every_seconds=1.0)
        seen.is_said = _ask(trial, fault, seen)
    return seen


def _ask(trial: Trial, fault: Reported, seen: Seen) -> bool:
    """Note what the commands say, and return whether one of them tells of *fault*."""
    for command in ("status", "doctor"):
        answer = trial.stack.local_command(command, "--json")
        try:
            findings = json.loads(answer.stdout)["findings"]
            seen.said[command] = [f"{finding['level'].upper()} {finding['what']}" for finding in findings]
        except ValueError:
            seen.said[command] = [answer.stderr.strip()]
    if fault.asks_audit:
        answer = trial.stack.local_command("audit")
        seen.said["audit"] = answer.stdout.strip().splitlines()[-2:]
    return any(re.search(fault.says, line) for lines in seen.said.values() for line in lines)


def _wait_for_silence(prometheus: Prometheus, fault: str) -> None:
    """Wait until no alert fires or is about to for a while: it would count as a report of the next fault."""
    since = monotonic()

    def is_silent() -> bool:
        nonlocal since
        if any(rule["state"] != "inactive" for rule in prometheus.rules()):
            since = monotonic()
        return monotonic() - since > CATCH_UP_SECONDS

    eventually(is_silent, f"no alert fires after: {fault}", within_seconds=SILENT_SECONDS, every_seconds=1.0)


def _note(trial: Trial, line: str) -> None:
    trial.notes.append(line)
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stdout.flush()
