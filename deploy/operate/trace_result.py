"""What `sequence trace` answers: every occurrence of a messageId, and where each one is. Pure.

An occurrence is one item of one request. The facts about it come from rows and from records, and are joined by the
item's source offset. `Trace` is the JSON of `sequence trace --json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from schemas.items import ItemWarning

ITEMS = "items.v1"
REJECTED = "rejected.v1"


class _Json(msgspec.Struct, rename="camel", frozen=True):
    """A part of the answer."""


class Place(_Json, frozen=True, kw_only=True):
    """A record."""

    topic: str
    """Without the prefix."""
    partition: int
    offset: int


class Rejected(_Json, frozen=True, kw_only=True):
    """Why an item was rejected, and where its content lies."""

    stage: str
    code: str
    message: str
    rejected_at: str
    field: str = ""
    request_id: str = ""
    """`X-Request-Id` of the request; of rejections by the gateway."""
    place: Place
    """On `rejected.v1`."""
    source: Place | None = None
    """What was rejected, if it is known: the item on `items.v1`."""


class First(_Json, frozen=True, kw_only=True):
    """The item that has the messageId of a duplicate."""

    offset: int
    """On `items.v1`, in the partition of the duplicate."""
    received_at: str | None = None
    """None if it is neither in a table nor in what was read of the topics."""


class Waiting(_Json, frozen=True, kw_only=True):
    """The stage that has not processed the item."""

    stage: Literal["dedupe", "persons", "sink"]
    records: int
    """Records of its partition before it."""
    seconds: float | None = None
    """Age of the oldest record that the stage has not processed."""
    waited_seconds: float = 0.0
    """How long the item waits for the stage: the age of its own record."""


class Token(_Json, frozen=True, kw_only=True):
    """A write token."""

    id: str
    hint: str
    """Empty if the token is not known."""


Dedupe = Literal["waiting", "unique", "duplicate", "rejected", "unknown"]
Persons = Literal["waiting", "folded", "rejected", "unknown"]
RowState = Literal["visible", "waiting", "rejected", "erased", "removed", "missing", "unknown"]
"""Rows up to a position were removed on purpose, for example by retention: one of these is `removed`."""


class Occurrence(msgspec.Struct, rename="camel", kw_only=True):
    """One item of one request."""

    project_id: str
    received_at: str
    timestamp: str = ""
    """Time of the event, corrected for the sender's clock; of a rejected item as it was sent. Empty if it has none."""
    type: str = ""
    event: str = ""
    user_id: str = ""
    warnings: tuple[ItemWarning, ...] = ()
    verdict: Literal["accepted", "rejected"] = "accepted"
    """Of the gateway."""
    token_id: str = ""
    """ID of the token that sent it; empty for items of earlier versions."""
    possible_tokens: tuple[Token, ...] = ()
    """The token that sent it. Without `token_id`, those of the project that were valid when it was received."""
    log: int | None = None
    """Row of `_logs`; None if it is not known."""
    partition: int | None = None
    """On `items.v1`, None for an item that the gateway rejected."""
    offset: int | None = None
    """Source offset: the offset on `items.v1`."""
    dedupe: Dedupe | None = None
    first: First | None = None
    """What a duplicate repeats."""
    same_content: bool | None = None
    """Whether a duplicate has the content of the first one; None if unknown."""
    output: Place | None = None
    """Its record on `events.v1` or `duplicates.v1`, if that was read."""
    persons: Persons | None = None
    """Of a unique identify."""
    row: RowState | None = None
    table: str | None = None
    """Where its row is or will be."""
    erasure: str | None = None
    """ID of the erasure that covers the row."""
    visible_by: str | None = None
    """When the INSERT had written the row. None if a merge or a deletion has written its part again since."""
    waiting: Waiting | None = None
    rejected: Rejected | None = None


class Looked(_Json, frozen=True, kw_only=True):
    """What was read of a topic."""

    topic: str
    partitions: tuple[int, ...]
    records: int
    since: str | None = None
    """Broker time of the first record that was read."""
    reaches_back_to: str | None = None
    """Broker time of the first record that the topic has, if that was asked."""
    is_complete: bool
    """Whether all was read that could have the messageId."""


class Trace(msgspec.Struct, rename="camel", kw_only=True):
    """The answer."""

    message_id: str
    project_id: str | None = None
    """As asked, None for all projects."""
    occurrences: list[Occurrence]
    """In the order of their receipt."""
    tables: list[str]
    """Tables that were searched."""
    topics: list[Looked]
    """Topics that were read."""
    notes: list[str]
    """What could not be asked, and what that means."""


Key = tuple[str, int, int]
"""Project, partition and source offset."""


class Facts:
    """Occurrences by source offset, while facts about them arrive."""

    def __init__(self, log: int | None = None) -> None:
        self._log = log
        """Log of the records in Kafka."""
        self._found: dict[tuple[int | None, Key], Occurrence] = {}
        self._unplaced: list[Occurrence] = []
        self._rejections: set[tuple[int | None, Place]] = set()
        """Places of rejections, so that a row and its record count once."""

    def of_row(self, log: int, occurrence: Occurrence) -> Occurrence:
        """Return the occurrence of a row, which is *occurrence* if it is new."""
        return self._add(log, occurrence)

    def of_record(self, occurrence: Occurrence) -> Occurrence:
        """Return the occurrence of a record, which is *occurrence* if it is new."""
        return self._add(self._log, occurrence)

    def _add(self, log: int | None, occurrence: Occurrence) -> Occurrence:
        partition, offset = occurrence.partition or 0, occurrence.offset or 0
        occurrence.log = log
        return self._found.setdefault((log, (occurrence.project_id, partition, offset)), occurrence)

    def reject(self, rejected: Rejected, otherwise: Occurrence, log: int | None = None) -> None:
        """Add a rejection of *log*, by default that of the records; *otherwise* is its item if that is not known."""
        log = self._log if log is None else log
        if (log, rejected.place) in self._rejections:
            return
        self._rejections.add((log, rejected.place))
        source = rejected.source
        if source is not None and source.topic == ITEMS:
            otherwise.partition, otherwise.offset = source.partition, source.offset
            found = self._add(log, otherwise)
        else:
            self._unplaced.append(otherwise)
            found = otherwise
        found.rejected = rejected
        if rejected.stage == "gateway":
            found.verdict = "rejected"
        elif rejected.stage == "dedupe":
            found.dedupe = "rejected"
        elif rejected.stage == "persons":
            found.persons = "rejected"
        else:
            found.row = "rejected"

    def occurrences(self) -> list[Occurrence]:
        """Return the occurrences in the order of their receipt."""
        found = [*self._found.values(), *self._unplaced]
        return sorted(found, key=lambda each: (each.received_at, each.partition or 0, each.offset or 0))

    def name_first(self) -> None:
        """Give each duplicate the time of the item that it repeats, if that is known."""
        times = {
            (each.log, each.project_id, each.partition, each.offset): each.received_at for each in self._found.values()
        }
        for each in self._found.values():
            if each.first is not None:
                received_at = times.get((each.log, each.project_id, each.partition, each.first.offset))
                each.first = First(offset=each.first.offset, received_at=received_at)


def describe(trace: Trace) -> object:
    """Return *trace* as `--json` prints it."""
    return msgspec.to_builtins(trace)


def is_settled(occurrences: Iterable[Occurrence]) -> bool:
    """Return whether every occurrence has a row or was rejected by the gateway or by dedupe."""
    return all(
        each.row in {"visible", "rejected"} or each.verdict == "rejected" or each.dedupe == "rejected"
        for each in occurrences
    )
