"""Sinks that are killed while they remove expired rows: these rows leave and are counted once, and no others leave.

Each sink looks for expired rows when it becomes the owner, so that a killed one is followed by the next look.
"""

from __future__ import annotations

from tests.faults.stack import Stack
from tests.faults.trial import Trial
from tests.support.services import eventually

WEEKS = 4
ROWS = 2_000
"""Rows of a week."""
EXPIRING, KEEPING = "expiring", "keeping"
GIVEN_UP_SECONDS = 60
"""After this time without a record, nobody completes a removal: the control ends."""
_PARTITION = 1_000
"""No worker has it, so that the rows are no position of one that does."""


def killing_removals(trial: Trial) -> None:
    """Store rows of past weeks, of a project that keeps them and of one that does not, and wait until these have left.

    Weeks are in turn of one project, whose parts are dropped, and of both, whose parts are rewritten.
    """
    stack = trial.stack
    for name in (EXPIRING, KEEPING):
        stack.command("project", "create", name)
    for week in range(WEEKS):
        project = f"if(number % 2, '{EXPIRING}', '{KEEPING}')" if week % 2 else f"'{EXPIRING}'"
        stack.query(
            "INSERT INTO events (project_id, event, message_id, received_at, _log, _partition, _origin)"  # noqa: S608
            f" SELECT {project}, 'Old', concat('old-', toString(number)), now64(6) - INTERVAL {60 + 7 * week} DAY, 1,"
            f" {_PARTITION}, number FROM numbers({week * ROWS}, {ROWS})"
        )
    expiring, keeping = _count(stack, EXPIRING), _count(stack, KEEPING)
    kills = stack.kills()
    stack.command("project", "update", EXPIRING, "--retention", "30d")
    for sink in stack.services("sink"):
        stack.kill(sink)
    eventually(lambda: _has_left(stack), "expired rows have left", within_seconds=300, every_seconds=2.0)
    [removed] = stack.query("SELECT sum(removed) AS rows FROM ledger WHERE stage = 'retention'")
    kills = stack.kills() - kills - len(stack.services("sink"))
    trial.violations["removed rows not counted once"] = abs(int(str(removed["rows"])) - expiring)
    trial.violations["rows that are kept have left"] = keeping - _count(stack, KEEPING)
    trial.violations["removals not killed"] = max(0, trial.scenario.repetitions - kills)
    trial.notes.append(f"{expiring} rows left beside {keeping} that stayed, with {kills} kills")
    # The client never sent them.
    stack.query(
        f"ALTER TABLE events DELETE WHERE project_id = '{KEEPING}' SETTINGS mutations_sync = 2", within_seconds=300
    )


def _has_left(stack: Stack) -> bool:
    """Return whether the expired rows have left, and the last removal is recorded or given up for long."""
    if _count(stack, EXPIRING):
        return False
    [open_ones] = stack.query("SELECT count() AS n FROM removals FINAL WHERE removed_at IS NULL")
    [last] = stack.query(
        "SELECT toUnixTimestamp(now()) - intDiv(max(_version % 9223372036854775808), 1000000) AS age FROM removals"
    )
    return open_ones["n"] in (0, "0") or int(str(last["age"])) > GIVEN_UP_SECONDS


def _count(stack: Stack, project: str) -> int:
    [row] = stack.query(f"SELECT count() AS n FROM events WHERE project_id = '{project}'")  # noqa: S608  # our own names
    return int(str(row["n"]))
