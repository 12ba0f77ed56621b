"""What records tell of a messageId. Pure: `deploy.operate.trace_log` reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from deploy.operate.offsets import Input
from deploy.operate.trace_result import Facts, First, Occurrence, Place, Rejected, Waiting
from schemas.items import Identify, Item, Rejection, Track
from schemas.records import ORIGIN_PARTITION, InvalidRecordError, decode_item, duplicate_of, source_offset_of

_INVALID = (InvalidRecordError, KeyError, ValueError)


@dataclass(slots=True)
class Records:
    """The records of one messageId, and how far the stages are that read their topics."""

    message_id: str
    projects: Sequence[str]
    now: float
    """Seconds since 1970."""
    found: dict[str, dict[tuple[int, int], Any]] = field(default_factory=lambda: defaultdict(dict))
    """By topic without prefix, then by partition and offset."""
    inputs: dict[tuple[str, int], Input] = field(default_factory=dict)
    """Of the dedupe worker, the persons worker and the sink, by topic without prefix and partition."""
    oldest_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """Broker time of the oldest unprocessed record of each of `inputs` that has one."""

    def waiting(self, stage: Literal["dedupe", "persons", "sink"], name: str, record: Any) -> Waiting | None:
        """Return what waits before *record* of topic *name*, None if the stage has processed it."""
        key = name, record.partition
        ahead = record.offset - unprocessed(self.inputs[key])
        if ahead < 0:
            return None
        oldest_ms = self.oldest_ms.get(key)
        seconds = None if oldest_ms is None else max(0.0, round(self.now - oldest_ms / 1000, 1))
        waited = max(0.0, round(self.now - record.timestamp / 1000, 1))
        return Waiting(stage=stage, records=ahead, seconds=seconds, waited_seconds=waited)


def unprocessed(each: Input) -> int:
    """Return the offset of the first record that the stage has not committed."""
    return max(each.log_start, each.committed or 0)


def add_records(facts: Facts, records: Records) -> None:
    """Add what *records* tell to *facts*, which has the rows already; rejections are left out."""
    for record in records.found["events.v1"].values():
        _add_event(facts, records, record)
    for record in records.found["duplicates.v1"].values():
        _add_duplicate(facts, records, record)
    for record in records.found["items.v1"].values():
        _add_item(facts, records, record)


def _add_event(facts: Facts, records: Records, record: Any) -> None:
    try:
        item, offset = decode_item(record.value), source_offset_of(record.headers)
    except _INVALID:
        return
    each = facts.of_record(_occurrence(item, record.partition, offset))
    each.dedupe, each.warnings = "unique", item.warnings
    _add_output(each, records, "events.v1", record)
    each.table = each.table or ("events" if isinstance(item, Track) else "identifies")


def _add_duplicate(facts: Facts, records: Records, record: Any) -> None:
    try:
        item, (offset, first, same_content) = decode_item(record.value), duplicate_of(record.headers)
    except _INVALID:
        return
    each = facts.of_record(_occurrence(item, record.partition, offset))
    each.dedupe, each.first, each.same_content = "duplicate", First(offset=first), same_content
    each.warnings, each.table = item.warnings, "duplicates"
    _add_output(each, records, "duplicates.v1", record)


def _add_output(each: Occurrence, records: Records, name: str, record: Any) -> None:
    each.output = Place(topic=name, partition=record.partition, offset=record.offset)
    if each.row is None:
        each.waiting = records.waiting("sink", name, record)
        each.row = "waiting" if each.waiting else "missing"


def _add_item(facts: Facts, records: Records, record: Any) -> None:
    try:
        item = decode_item(record.value)
    except InvalidRecordError:
        return
    each = facts.of_record(_occurrence(item, record.partition, record.offset))
    each.warnings = item.warnings
    if each.dedupe is None:
        each.waiting = records.waiting("dedupe", "items.v1", record)
        each.dedupe = each.row = "waiting" if each.waiting else "unknown"


def add_persons(occurrences: Iterable[Occurrence], records: Records) -> None:
    """Say of each unique identify whether the persons worker has read it.

    Its record on `identifies.v1` is written before its event, so that one that is not among the unprocessed is folded.
    """
    unfolded = {}
    for record in records.found["identifies.v1"].values():
        try:
            source = int(dict(record.headers)[ORIGIN_PARTITION]), source_offset_of(record.headers)
        except _INVALID:
            continue
        unfolded[source] = record
    for each in occurrences:
        if each.type != "identify" or each.dedupe != "unique" or each.persons is not None:
            continue
        found = unfolded.get((each.partition or 0, each.offset or 0))
        each.persons = "folded" if found is None else "waiting"
        if found is not None and each.waiting is None:
            each.waiting = records.waiting("persons", "identifies.v1", found)


def add_rejections(facts: Facts, records: Records) -> None:
    """Add the rejections to *facts*, which has the occurrences."""
    for record in records.found["rejected.v1"].values():
        _add_rejection(facts, record, records)


class _Content(msgspec.Struct):
    """What the JSON text of an item or of a row names; each may have any type in a rejected item."""

    type: Any = None
    timestamp: Any = None
    event: Any = None
    userId: Any = None  # noqa: N815  # as producers write it
    user_id: Any = None
    messageId: Any = None  # noqa: N815
    message_id: Any = None


_decode_rejection = msgspec.json.Decoder(Rejection).decode
_decode_content = msgspec.json.Decoder(_Content).decode


def _add_rejection(facts: Facts, record: Any, records: Records) -> None:
    """Add the rejection in *record* if it is one of the messageId, which its item or row may name alone."""
    try:
        found = _decode_rejection(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    content = _content(found.content)
    named = found.message_id or content.messageId or content.message_id
    if found.project_id not in records.projects or named != records.message_id:
        return
    source = None
    if found.source_topic is not None and found.source_partition is not None and found.source_offset is not None:
        source = Place(topic=found.source_topic, partition=found.source_partition, offset=found.source_offset)
    rejected = Rejected(
        stage=found.stage,
        code=found.code,
        message=found.message,
        rejected_at=found.rejected_at,
        field=found.field or "",
        request_id=found.request_id or "",
        place=Place(topic="rejected.v1", partition=record.partition, offset=record.offset),
        source=source,
    )
    otherwise = Occurrence(
        project_id=found.project_id,
        received_at=found.rejected_at,
        timestamp=_text(content.timestamp),
        type=_text(content.type),
        event=_text(content.event),
        user_id=_text(content.userId or content.user_id),
        token_id=found.token_id or "",
    )
    facts.reject(rejected, otherwise)


def _content(text: str | None) -> _Content:
    try:
        return _decode_content(text or "")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return _Content()  # Cut, or not an object.


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _occurrence(item: Item, partition: int, offset: int) -> Occurrence:
    return Occurrence(
        project_id=item.project_id,
        received_at=item.received_at,
        timestamp=item.timestamp,
        type="identify" if isinstance(item, Identify) else "track",
        event=item.event if isinstance(item, Track) else "",
        user_id=item.user_id,
        token_id=item.token_id,
        warnings=item.warnings,
        partition=partition,
        offset=offset,
    )
