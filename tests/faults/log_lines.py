"""Phrases of the product's log that the fault suite counts.

A phrase that the product no longer logs would turn a check into one that cannot fail. `tests/unit/faults` therefore
looks for each of them in the product's source.
"""

from __future__ import annotations

import re

ASSIGNED = "partitions assigned, recovery complete: "
ASSIGNED_PARTITIONS = re.compile(rf"(\S+): {ASSIGNED}(\d+(?:, \d+)*)")
"""Topic and partitions of such a line."""
REVOKED = "partitions revoked"
EXIT = "exiting with code "
SHUTDOWN_TIMED_OUT = "shutdown timed out"
TOPIC_RECREATED = "deleted and recreated"
CLOCK_IS_WRONG = "the clock of "
EXPIRED = "have expired, so that "
PARTITIONS_CHANGED = "The number of partitions has changed"
SKIPPED_RECORDS = "SkippedRecordsError"
KILLED = " was killed by signal 9"
RESTARTING = "; restarting in "
READY = "Query them:"

SOURCES = {
    CLOCK_IS_WRONG: "processors/dedupe/clock_log.py",
    ASSIGNED: "processors/engine/runner.py",
    REVOKED: "processors/engine/runner.py",
    EXIT: "processors/engine/exit.py",
    SHUTDOWN_TIMED_OUT: "processors/engine/exit.py",
    TOPIC_RECREATED: "processors/engine/start_offsets.py",
    EXPIRED: "processors/sink/assignment.py",
    PARTITIONS_CHANGED: "schemas/deployment.py",
    SKIPPED_RECORDS: "processors/engine/errors.py",
    RESTARTING: "deploy/local/supervisor.py",
    READY: "deploy/local/quickstart.py",
}
"""The file that logs each phrase."""
