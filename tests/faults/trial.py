"""A scenario, and one execution of it: stack, client, ledger and findings."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.client import Client
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack


@dataclass
class Trial:
    """One execution of a scenario."""

    scenario: Scenario
    stack: Stack
    client: Client
    ledger: Ledger
    rng: random.Random
    """Seeded with the name of the scenario, so that every execution is the same."""
    notes: list[str] = field(default_factory=list)
    """Figures for the report."""
    violations: dict[str, int] = field(default_factory=dict)
    """Counts of the scenario itself that must be zero."""


Step = Callable[[Trial], None]


@dataclass(frozen=True)
class Scenario:
    """One fault, injected into a stack under load."""

    name: str
    repetitions: int
    inject: Step
    """Injects the fault *repetitions* times while a client sends; leaves the stack running."""
    rate: float = 400.0
    """Items per second while the fault is injected."""
    items: int | None = None
    """Number of items to send, if it does not depend on the duration of the fault."""
    environ: dict[str, str] = field(default_factory=dict)
    idle_within_seconds: float = 180.0
    fill_within_seconds: float = 0.0
    """Time after zero lag in which a table that lost rows must have them again."""
    proxied: bool = False
    """Whether workers reach ClickHouse through the proxy of the stack."""
    before: Callable[[Stack], None] | None = None
    """Prepares the state directory before the stack starts."""
    afterwards: Step | None = None
    """Runs after the checks. By default, local state is deleted and rebuilt."""
    quiet: bool = False
    """Whether no worker may exit by itself in this scenario."""
    settle_seconds: float = 0.0
    """Time after zero lag in which resumed workers are detected and their writes repaired."""
    alone: bool = False
    """Whether the scenario measures time, so that no other may run concurrently."""
    must_violate: tuple[str, ...] = ()
    """For a control: the violations of which at least one must occur."""
