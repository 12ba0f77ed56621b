"""Faults of ClickHouse's data: restored, wiped, parts removed, rows deleted by an operator."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import merges
from tests.faults.merges import TABLES
from tests.faults.row_deletions import (
    DELETED_WITHIN_SECONDS,
    ITEM_TABLES,
    KINDS,
    Then,
    delete,
    newest,
    oldest,
    rows_of,
    stopped_sinks,
)
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support.services import eventually

BLOCK_ROWS = 40
MORE_ROWS = 300
COMMITTED_SECONDS = 3.0
"""Time in which a worker has committed the offsets of what it has written."""
LOAD_SECONDS = 6.0
"""Load between two faults: some hundred rows of each partition."""


def copy_clickhouse(stack: Stack, name: str = "copy") -> Path:
    """Copy the directory of ClickHouse while it is down, and return the copy."""
    target = stack.state.parent / name
    with stack.held("clickhouse"):
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "-a", str(stack.clickhouse_directory), str(target)], check=True)
    return target


def put_back(stack: Stack, copy: Path) -> None:
    """Replace the directory of ClickHouse, which is down, by *copy*."""
    shutil.rmtree(stack.clickhouse_directory)
    subprocess.run(["cp", "-a", str(copy), str(stack.clickhouse_directory)], check=True)


def write_more(stack: Stack) -> None:
    """Wait until more rows are written and their offsets committed: ClickHouse may just have been started."""
    before = len(rows_of(stack, "events"))
    eventually(lambda: len(rows_of(stack, "events")) > before + MORE_ROWS, "more rows are written", every_seconds=0.5)
    time.sleep(COMMITTED_SECONDS)


def restoring(*, sinks_too: bool) -> Step:
    """Restore a copy of ClickHouse under load, after more rows were written; with the sinks stopped, or running."""

    def restore(trial: Trial) -> None:
        stack = trial.stack
        copy = copy_clickhouse(stack)
        write_more(stack)
        with stack.held("clickhouse", *(stack.services("sink") if sinks_too else ())):
            put_back(stack, copy)
        time.sleep(LOAD_SECONDS)

    return restore


def restoring_unnoticed(trial: Trial) -> None:
    """Restore a copy while nothing is sent, so that no INSERT of the running sinks meets the outage."""
    stack = trial.stack
    copy = copy_clickhouse(stack)
    write_more(stack)
    _quietly(trial, lambda: _restore_while_down(stack, copy))
    time.sleep(LOAD_SECONDS)


def _restore_while_down(stack: Stack, copy: Path) -> None:
    with stack.held("clickhouse"):
        put_back(stack, copy)
    eventually(lambda: bool(stack.query("SELECT 1")), "ClickHouse answers")


def wiping(trial: Trial) -> None:
    """Delete the directory of ClickHouse; an operator creates the tables again, and the sinks load the topics."""
    stack = trial.stack
    with stack.held(*stack.services("sink")):
        with stack.held("clickhouse"):
            shutil.rmtree(stack.clickhouse_directory)
        stack.query("SELECT 1")
        migrated = stack.command("tables", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        merges.stop(stack)
    time.sleep(LOAD_SECONDS)


def removing_parts(trial: Trial) -> None:
    """Remove the newest parts of one table after another while ClickHouse is down, as a damaged disk may."""
    for table in TABLES:
        _remove_newest_parts(trial, table)
        time.sleep(LOAD_SECONDS)


def _remove_newest_parts(trial: Trial, table: str) -> None:
    stack = trial.stack
    with stopped_sinks(stack):
        parts = stack.query(
            f"SELECT path FROM system.parts WHERE active AND table = '{table}' "  # noqa: S608  # our own tables
            "ORDER BY modification_time DESC, max_block_number DESC LIMIT 5"
        )
        with stack.held("clickhouse"):
            for part in parts:
                shutil.rmtree(stack.clickhouse_directory / str(part["path"]))
        trial.notes.append(f"{len(parts)} parts of {table} removed")
    stack.query("SELECT 1")


def deleting(kind: str, *, keep: bool) -> Step:
    """Delete rows of `events` and `identifies`: the oldest of each partition under load, then the newest.

    The sinks are stopped while the newest are deleted, so that their next assignment finds the positions lower.
    """

    def deletes(trial: Trial) -> None:
        stack, ledger = trial.stack, trial.ledger
        write_more(stack)
        merges.merge(stack)
        gone = 0
        for table in ITEM_TABLES:
            then: Then = "stay deleted" if keep else "may come back"
            gone += delete(stack, ledger, table, oldest(stack, table, 50), kind=kind, then=then)
        merges.merge(stack)
        with stopped_sinks(stack):
            for table in ITEM_TABLES:
                then = "stay deleted" if keep else "come back"
                gone += delete(stack, ledger, table, newest(stack, table, 50), kind=kind, then=then)
        time.sleep(LOAD_SECONDS)
        trial.notes.append(f"{gone} rows deleted")

    return deletes


def deleting_one_block(trial: Trial) -> None:
    """Delete the rows of one INSERT, the newest ones: they come back although ClickHouse has seen its token before."""
    stack, client = trial.stack, trial.client
    client.stop()
    time.sleep(3)
    name = f"block-{time.time_ns()}"
    client.send([_track(f"{name}-{number}") for number in range(BLOCK_ROWS)])
    mine = f"startsWith(message_id, '{name}')"
    eventually(lambda: len(rows_of(stack, "events", mine)) == BLOCK_ROWS, "the rows are stored")
    time.sleep(3)  # Their offsets are committed.
    with stopped_sinks(stack):
        delete(stack, trial.ledger, "events", mine, kind="ALTER DELETE", then="come back")
    eventually(lambda: len(rows_of(stack, "events", mine)) == BLOCK_ROWS, "the rows are stored again")
    client.start(rate=trial.scenario.rate)


def _track(message_id: str) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": message_id,
        "userId": "ada",
        "event": "Order Completed",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "properties": {},
    }


def dropping_partition(*, keep: bool) -> Step:
    """Drop the month of `events` while the sinks are stopped."""

    def drop(trial: Trial) -> None:
        stack = trial.stack
        then: Then = "stay deleted" if keep else "come back"
        with stopped_sinks(stack):
            gone = delete(stack, trial.ledger, "events", "1", kind="DROP PARTITION", then=then)
        time.sleep(LOAD_SECONDS)
        trial.notes.append(f"{gone} rows dropped")

    return drop


def deleting_states(kind: str) -> Step:
    """Delete the states of persons that a later one has replaced, which changes no person."""
    replaced = "(user_id, _origin) NOT IN (SELECT user_id, max(_origin) FROM person_states GROUP BY user_id)"

    def deletes(trial: Trial) -> None:
        statement = KINDS[kind].format(table="person_states", where=replaced)
        trial.stack.query(statement, within_seconds=DELETED_WITHIN_SECONDS)

    return deletes


def _quietly(trial: Trial, work: Callable[[], None]) -> None:
    trial.client.stop()
    try:
        time.sleep(3)
        work()
    finally:
        trial.client.start(rate=trial.scenario.rate)


STORAGE = (
    ("restored with the sinks stopped", restoring(sinks_too=True)),
    ("restored under running sinks", restoring(sinks_too=False)),
    ("restored while nothing is sent", restoring_unnoticed),
    ("wiped", wiping),
    ("parts removed", removing_parts),
)
DELETIONS = (
    ("DELETE", deleting("DELETE", keep=False)),
    ("ALTER DELETE", deleting("ALTER DELETE", keep=False)),
    ("DELETE of one block", deleting_one_block),
    ("DELETE of states", deleting_states("DELETE")),
    ("ALTER DELETE of states", deleting_states("ALTER DELETE")),
    ("DROP PARTITION", dropping_partition(keep=False)),
)
DELETIONS_FOR_GOOD = (
    ("DELETE with positions kept", deleting("DELETE", keep=True)),
    ("ALTER DELETE with positions kept", deleting("ALTER DELETE", keep=True)),
    ("DROP PARTITION with positions kept", dropping_partition(keep=True)),
)
