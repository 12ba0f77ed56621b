"""Sends the sample to a running pipeline, waits until it can be queried, and makes its typed views."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Protocol

from deploy.demo.declarations import declare
from deploy.demo.items import DAYS, PREFIX, Sample, last_day, sample
from deploy.errors import OperateError, RefusedRequestError
from deploy.operate import typed_views
from deploy.operate.replay_sender import Sender
from deploy.operate.servers import Servers
from gateway.errors import ProjectExistsError
from gateway.projects.admin import create_project, create_token
from processors.clickhouse.client import ClickHouse
from processors.typed_views.naming import database_name
from schemas.settings import KafkaSettings

BATCH_ITEMS = 800
"""Items of a request: about 270 KB of the 512,000 bytes that a gateway accepts."""
TOKEN_SECONDS = 3600
STALL_SECONDS = 90.0
"""Time without a new row after which the pipeline counts as stopped. The catalogue is counted every few seconds."""
_POLL_SECONDS = 0.5
_TOKEN_KNOWN_SECONDS = 10.0
"""A gateway knows a new token within a second, unless it reads another Kafka."""
_SPARE = timedelta(hours=1)


class Bar(Protocol):
    """A progress bar."""

    def update(self, n_steps: int) -> None:
        """Count *n_steps* more."""


Progress = Callable[[str, int], AbstractContextManager[Bar]]
"""Shows a bar with a label, for a number of steps."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to send, and where."""

    project_id: str
    events: int
    until: date | None
    """None for that of the sample which the project has, or else for yesterday."""
    gateway: str
    window_days: float
    """Time in which dedupe drops what was sent before."""


@dataclass(frozen=True, slots=True)
class Done:
    """What the project has now."""

    items: int
    """Different items that were sent."""
    new: int
    """Those of them that the project did not have before."""
    database: str
    """Where the typed views are."""
    until: date

    @property
    def since(self) -> date:
        """The first day of the sample."""
        return self.until - timedelta(days=DAYS - 1)


def run(servers: Servers, wanted: Wanted, progress: Progress) -> Done:
    """Send the sample and return when its rows and typed views are there.

    Raises `OperateError` if the project has another sample, or one that dedupe does not recognise any more; if the
    gateway does not answer or accept; and if rows do not arrive.
    """
    with servers.tables() as clickhouse:
        until = _last_day(clickhouse, wanted)
        before = _rows(clickhouse, wanted.project_id, until)
        token = servers.ask_kafka(lambda kafka: _token(kafka, wanted.project_id))
        with progress("Made", wanted.events) as bar:
            made = sample(wanted.events, until, bar.update)
        _send(Sender(wanted.gateway, token), made, progress)
        stored = _wait(
            lambda: _rows(clickhouse, wanted.project_id, until), max(before, made.different), "Stored", progress
        )
        _wait(lambda: _counted(clickhouse, wanted.project_id), stored, "Counted", progress)
        typed_views.refresh(clickhouse)
        declare(clickhouse, wanted.project_id)
        database = database_name(servers.clickhouse.database, wanted.project_id)
    return Done(made.different, stored - before, database, until)


def _last_day(clickhouse: ClickHouse, wanted: Wanted) -> date:
    """Return the last day of the sample to send."""
    project = wanted.project_id
    rows = clickhouse.query(
        "SELECT any(message_id) AS id, toUnixTimestamp(min(received_at)) AS since FROM events"
        " WHERE project_id = {project:String} AND startsWith(message_id, {prefix:String}) HAVING count() > 0",
        {"project": project, "prefix": PREFIX},
    )
    now = datetime.now(UTC)
    if not rows:
        return wanted.until or now.date() - timedelta(days=1)
    there, since = last_day(rows[0]["id"]), datetime.fromtimestamp(int(rows[0]["since"]), UTC)
    if wanted.until not in (None, there):
        raise OperateError(
            f"Project {project} has the sample up to {there} already, and not the one up to {wanted.until}. Nothing "
            "was sent. Leave out --until, or choose another project with --project."
        )
    if now - since > timedelta(days=wanted.window_days) - _SPARE:
        raise OperateError(
            f"Project {project} has the sample up to {there} since {since:%Y-%m-%d}. Dedupe recognises repeats for "
            f"{wanted.window_days:g} days, so its events would count twice. Nothing was sent. Choose another project "
            "with --project."
        )
    return there


async def _token(kafka: KafkaSettings, project_id: str) -> str:
    """Return a write token of the project, which is created if it does not exist."""
    with contextlib.suppress(ProjectExistsError):
        await create_project(kafka, project_id, "Sample data" if project_id == "demo" else project_id)
    return await create_token(kafka, project_id, expires_at=(int(time.time()) + TOKEN_SECONDS) * 1_000_000)


def _send(sender: Sender, made: Sample, progress: Progress) -> None:
    with progress("Sent", len(made.items)) as bar:
        deadline = monotonic() + _TOKEN_KNOWN_SECONDS
        for batch in _batches([item for _, item in made.items]):
            while not _accepted(sender, batch, deadline):
                time.sleep(_POLL_SECONDS)
            bar.update(len(batch))


def _batches(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for first in range(0, len(items), BATCH_ITEMS):
        yield items[first : first + BATCH_ITEMS]


def _accepted(sender: Sender, batch: Sequence[bytes], deadline: float) -> bool:
    """Send *batch*; return False if the gateway does not know the token yet, until *deadline*."""
    try:
        verdicts = sender.send(batch)
    except RefusedRequestError as error:
        if error.status != 401:
            raise
        if monotonic() > deadline:
            raise OperateError(
                f"{error} It does not know a token that was created {_TOKEN_KNOWN_SECONDS:g} s ago, so it reads "
                "projects from another Kafka. Check --gateway and SEQUENCE_KAFKA_SERVERS."
            ) from error
        return False
    if rejected := [verdict for verdict in verdicts if verdict.status == "rejected"]:
        first = rejected[0]
        raise OperateError(
            f"The gateway at {sender.gateway} rejected {len(rejected)} of {len(batch)} items: {first.message} "
            f"({first.code}). See `sequence rejected list`."
        )
    return True


def _wait(read: Callable[[], int], expected: int, label: str, progress: Progress) -> int:
    """Return what *read* returns once it has reached *expected*."""
    found, changed = read(), monotonic()
    with progress(label, expected) as bar:
        bar.update(min(found, expected))
        while found < expected:
            if monotonic() - changed > STALL_SECONDS:
                raise OperateError(
                    f"{found} of {expected} items are {label.lower()}, and none more in {STALL_SECONDS:g} s. The "
                    "others wait in Kafka. `sequence status` shows which stage does not run."
                )
            time.sleep(_POLL_SECONDS)
            after = read()
            if after > found:
                bar.update(min(after, expected) - min(found, expected))
                found, changed = after, monotonic()
    return found


def _rows(clickhouse: ClickHouse, project_id: str, until: date) -> int:
    """Return how many items of the sample are in the tables."""
    [row] = clickhouse.query(
        "SELECT sum(n) AS found FROM (SELECT count() AS n FROM events WHERE project_id = {project:String}"
        " AND startsWith(message_id, {prefix:String}) UNION ALL SELECT count() FROM identifies"
        " WHERE project_id = {project:String} AND startsWith(message_id, {prefix:String}))",
        {"project": project_id, "prefix": f"{PREFIX}{until}-"},
    )
    return int(row["found"])


def _counted(clickhouse: ClickHouse, project_id: str) -> int:
    """Return how many items of the project the catalogue has counted: at least those of the sample in the end."""
    [row] = clickhouse.query(
        "SELECT sum(count) AS found FROM catalog WHERE project_id = {project:String} AND path = '' AND type = ''",
        {"project": project_id},
    )
    return int(row["found"])
