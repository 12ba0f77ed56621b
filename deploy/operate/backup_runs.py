"""Runs a BACKUP or RESTORE statement to its end. It runs in ClickHouse, and the command asks how far it is."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.errors import OperateError
from deploy.operate.backup_manifest import Manifest
from deploy.operate.backup_statements import Destination, attach
from deploy.operate.servers import Servers
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from schemas.clickhouse.quoting import literal, quoted

ANSWER_SECONDS = 24 * 3600.0
"""Time for a statement that reads every file of a table."""
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
_ID = "sequence-"
_RUNNING = frozenset({"CREATING_BACKUP", "RESTORING"})
_TRACE = re.compile(r", Stack trace \(when copying.*", re.DOTALL)
_EXPLANATIONS = (
    ("is not allowed for backups", "Add the path to backups.allowed_path in the configuration of ClickHouse."),
    ("backups.allowed_path", "Set backups.allowed_path in the configuration of ClickHouse, or pass --to."),
    ("ermission denied", "The user of the ClickHouse process may not write there. Choose another directory."),
    ("ot enough privileges", "See the permissions in docs/operations.md."),
    ("o space left", "Free disk space, and repeat the command."),
)


@contextmanager
def connected(servers: Servers) -> Iterator[ClickHouse]:
    """Connect to ClickHouse, where the database of the pipeline need not exist, with time to read every file."""
    with servers.tables(database="system", answer_seconds=ANSWER_SECONDS) as clickhouse:
        yield clickhouse


class Runs:
    """Statements on *clickhouse* whose destination may have credentials, which errors do not show."""

    def __init__(self, clickhouse: ClickHouse, destination: Destination) -> None:
        self._clickhouse = clickhouse
        self._destination = destination

    def settings(self, base: Manifest | None, step: str) -> dict[str, str]:
        """Return the settings of a statement about *step*; *base* is the backup that has the unchanged files."""
        found = {"id": literal(f"{_ID}{secrets.token_hex(8)}"), "async": "true"}
        if base is not None and step in base.steps:
            found["base_backup"] = self._destination.sql(base.name, step)
            if self._destination.function.lower() == "s3":
                found["use_same_s3_credentials_for_base_backup"] = "true"
        return found

    def run(self, sql: str, settings: Mapping[str, str]) -> int:
        """Run *sql*, which has *settings*, to its end and return the bytes that it wrote; raises `OperateError`."""
        try:
            self._clickhouse.execute(sql)
            pause = _FIRST_PAUSE_SECONDS
            while (row := self._state(settings["id"]))["status"] in _RUNNING:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        except ClickHouseError as error:
            raise self._translated(error) from None
        if row["error"] or row["status"] not in {"BACKUP_CREATED", "RESTORED"}:
            raise self._failed(row["error"] or f"it is {row['status']}")
        return int(row["compressed_size"])

    def wait_for_earlier(self) -> None:
        """Wait until statements of earlier commands have ended: an interrupted RESTORE would fill tables twice."""
        while self._clickhouse.query(
            "SELECT 1 FROM system.backups WHERE status = 'RESTORING' AND startsWith(id, {prefix:String}) LIMIT 1",
            {"prefix": _ID},
        ):
            time.sleep(_LONGEST_PAUSE_SECONDS)

    @contextmanager
    def attached(self, reading: str, database: str, place: str) -> Iterator[None]:
        """Let the database *reading* show the tables of *database* at *place* during the block."""
        name = quoted(reading)
        try:
            self._clickhouse.execute(f"DROP DATABASE IF EXISTS {name}")
            self._clickhouse.execute(attach(reading, database, place))
        except ClickHouseError as error:
            raise self._translated(error) from None
        try:
            yield
        finally:
            self._clickhouse.execute(f"DROP DATABASE IF EXISTS {name}")

    def _state(self, quoted_id: str) -> Mapping[str, str]:
        rows = self._clickhouse.query(
            f"SELECT status, error, compressed_size FROM system.backups WHERE id = {quoted_id}"  # noqa: S608  # our own random ID
        )
        if not rows:
            raise OperateError("ClickHouse was restarted before the statement had ended. Repeat the command.")
        return {name: str(value) for name, value in rows[0].items()}

    def _translated(self, error: ClickHouseError) -> Exception:
        # Without a code ClickHouse did not answer: the caller says so without the statement.
        return error if isinstance(error, UnavailableError) and error.code is None else self._failed(str(error))

    def _failed(self, text: str) -> OperateError:
        reason = self._destination.hide(_TRACE.sub("", text)).rstrip(".")
        advice = next((advice for part, advice in _EXPLANATIONS if part in text), "Correct the cause, and repeat it.")
        return OperateError(f"ClickHouse failed: {reason}. {advice}")
