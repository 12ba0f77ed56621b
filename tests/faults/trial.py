"""What a scenario is, and one run of it: the stack, the client that sends, and what is found on the way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.client import Client
from tests.faults.ledger import Ledger
from tests.faults.stack import Stack


@dataclass
class Trial:
    """One run of a scenario."""

    scenario: Scenario
    stack: Stack
    client: Client
    ledger: Ledger
    chance: random.Random
    """The same chances every time."""
    notes: list[str] = field(default_factory=list)
    """Figures for the report."""
    faults: dict[str, int] = field(default_factory=dict)
    """What the scenario counted itself; must be zero."""


Step = Callable[[Trial], None]


@dataclass(frozen=True)
class Scenario:
    """One way in which things go wrong."""

    name: str
    repetitions: int
    harm: Step
    """Does the harm, as often as the scenario says, while a client sends, and leaves the stack running."""
    rate: float = 400.0
    """Items a second, for as long as the harm goes on."""
    items: int | None = None
    """How many items to send where that does not follow from the harm."""
    environ: dict[str, str] = field(default_factory=dict)
    idle_within_seconds: float = 180.0
    proxied: bool = False
    """Whether workers insert through the stack's proxy."""
    before: Callable[[Stack], None] | None = None
    """Prepares the stack's directory before it starts."""
    afterwards: Step | None = None
    """Goes on with the stack once everything was counted; without one, local state is wiped and rebuilt."""
    quiet: bool = False
    """Whether it gives no worker a reason to end itself."""
    settle_seconds: float = 0.0
    """How long workers may still wake and mend after nothing is left to do."""
    alone: bool = False
    """Whether it measures time, so that nothing may run beside it."""
    must_turn: tuple[str, ...] = ()
    """Where a mechanism is taken out: the figures of which at least one must not be zero then."""
