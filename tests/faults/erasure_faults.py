"""Users are erased while workers and the command are killed: their rows leave, those of others stay.

Nothing comes back when the tables, the local state or the committed offsets are lost afterwards.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from schemas.topics import Topics
from tests.faults import armed, merges
from tests.faults.data_faults import resetting_offsets
from tests.faults.erased_users import PROJECT, cuts
from tests.faults.row_deletions import ITEM_TABLES, delete, stopped_sinks
from tests.faults.storage_faults import LOAD_SECONDS, write_more
from tests.faults.trial import Step, Trial
from tests.support import logs
from tests.support.services import eventually

USERS = [f"user-{number}" for number in range(30)]
BEHIND_SECONDS = 3.0
"""How long items wait on each topic before their users are erased."""
INVISIBLE_SECONDS = 240.0
"""A deletion rewrites many small parts, beside the INSERTs of a loaded machine."""
COMMAND = ("requested", "told")
"""Points of the command, which is run again after each."""
WORKERS = (
    *("persons-decided", "persons-produced", "persons-applied"),
    *("sink-listed", "sink-noted", "sink-hidden"),
)


def erasing(trial: Trial, command: Sequence[str] = COMMAND, workers: Sequence[str] = WORKERS) -> None:
    """Erase users whose items are on their way, while processes are killed; return when no query sees them.

    Some of the items are on `items.v1` alone, others on `events.v1` as well.
    """
    stack, items = trial.stack, Topics(trial.stack.kafka.topic_prefix).items
    write_more(stack)
    merges.merge(stack)
    trial.client.send([_rejected(user) for user in USERS])
    kills = stack.kills()
    with stack.held(*stack.services("persons"), *stack.services("sink")):
        time.sleep(BEHIND_SECONDS)
        with stack.held(*stack.services("dedupe")):
            time.sleep(BEHIND_SECONDS)
            arrived = logs.ends(stack.kafka, items)
            armed.arm(stack, *workers)
            _request(trial, command)
            began, later = time.monotonic(), logs.ends(stack.kafka, items)
            trial.ledger.erased |= (found := cuts(stack, USERS))
    trial.violations["cuts beside what had arrived"] = sum(
        not arrived[number] <= end <= later[number] for cut in found.values() for number, end in enumerate(cut.items)
    )
    armed.wait_until_hit(stack)
    eventually(
        lambda: not _removing(trial),
        "the users are invisible",
        within_seconds=INVISIBLE_SECONDS,
        every_seconds=1.0,
        output=lambda: ", ".join(_removing(trial)),
    )
    trial.notes.append(
        f"{len(USERS)} users invisible {time.monotonic() - began:.0f} s after the request, with"
        f" {stack.kills() - kills} kills of workers"
    )


def _request(trial: Trial, command: Sequence[str]) -> None:
    """Run `sequence erase` until it ends by itself; it is killed at each point of *command* first."""
    arguments = ("erase", "--project", PROJECT, *(word for user in USERS for word in ("--user", user)), "--yes")
    for point in command:
        armed.arm(trial.stack, f"erase-{point}")
        code, printed = armed.run(trial.stack, *arguments)
        assert code < 0, f"the command was not killed: {printed}"
    code, printed = armed.run(trial.stack, *arguments)
    assert code == 0, printed


def _removing(trial: Trial) -> list[str]:
    """Return what each erasure waits for whose rows queries may still see."""
    rows = trial.stack.query("SELECT waits_for FROM erasures FINAL WHERE status = 'removing'")
    return [str(row["waits_for"]) for row in rows]


def _rejected(user: str) -> dict[str, Any]:
    """Return an item of *user* that the gateway rejects."""
    return {"type": "track", "messageId": f"rejected-{time.time_ns()}", "userId": user, "event": ""}


def losing_tables(trial: Trial) -> None:
    """Drop the rows of the erased users' tables, which the sinks read again."""
    with stopped_sinks(trial.stack):
        for table in ITEM_TABLES:
            delete(trial.stack, trial.ledger, table, "1", kind="DROP PARTITION", then="come back")
    time.sleep(LOAD_SECONDS)


def losing_state(trial: Trial) -> None:
    """Delete the local state of the persons, who then read every identify again."""
    stack = trial.stack
    topics, persons = Topics(stack.kafka.topic_prefix), stack.services("persons")
    with stack.held(*persons):
        for service in persons:
            shutil.rmtree(stack.state / "workers" / service, ignore_errors=True)
        reset = partial(logs.reset, stack.kafka, f"{topics.prefix}-persons", [topics.identifies])
        eventually(reset, "the offsets of persons are reset", every_seconds=1.0)
    time.sleep(LOAD_SECONDS)


def without_kills(losing: Step) -> Step:
    """Return the step that erases users and then loses something."""

    def erases(trial: Trial) -> None:
        erasing(trial, (), ())
        losing(trial)

    return erases


ERASURE = (
    ("erased under kills", erasing),
    ("tables lost", losing_tables),
    ("state lost", losing_state),
    ("offsets reset", resetting_offsets),
)
