"""Validates the items of a request: each item is accepted or rejected on its own.

Fast path: items that `parse_envelope` or a single decoding turned into structs, with their objects left as raw bytes.
It accepts items that are certain to be valid and rejects none.

Slow path: `gateway.ingest.rules`, which decides about the other items, rule by rule. Both paths return the same items.
The last of several members with one name wins.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from struct import Struct

import msgspec
from msgspec import Raw

from gateway.ingest.envelope import DEFAULT_LIMITS, Envelope, Limits
from gateway.ingest.json_checks import passes_quick_checks
from gateway.ingest.rejections import RejectedItem, ValidationError
from gateway.ingest.rules import (
    ABSENT,
    ITEM_DEPTH,
    ItemType,
    WireItem,
    find_message_id,
    read_item,
    too_large,
)
from schemas.items import EMPTY_OBJECT, Identify, Item, Track
from schemas.times import Clock, parse_time

_OBJECT = ord("{")
_first_byte = Struct("B").unpack_from
_decode_wire_item = msgspec.json.Decoder(WireItem).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_NOT_IDENTIFYING = ("messageId", "sentAt", "writeKey")
"""Members of an item that a retry may change."""


class BatchResult(msgspec.Struct, frozen=True):
    """The result of each item of a batch."""

    accepted: list[Item]
    accepted_indexes: Sequence[int]
    """Index in the batch of each accepted item."""
    rejected: list[RejectedItem]


class _Sender(msgspec.Struct, gc=False):
    """What the items of one request share."""

    project_id: str
    item_type: ItemType | None
    sent_at: str | None
    """The batch's `sentAt` as received."""
    clock: Clock
    context: Raw
    context_bytes: int
    """Size that the batch's `context` adds to an item without its own."""
    integrations: Raw
    integrations_bytes: int
    passed_quick_checks: bool
    item_limit_bytes: int
    occurrences: dict[str, int] | None = None
    """How many items of each identity the request had so far; of those without `messageId` only."""


def validate_items(
    envelope: Envelope, *, project_id: str, received_at: int, limits: Limits = DEFAULT_LIMITS
) -> BatchResult:
    """Return the result of each item of *envelope*, sent for *project_id* and received at *received_at* (µs)."""
    sender = _sender(envelope, project_id, received_at, limits)
    if envelope.wire_items is not None and (items := _items(envelope.wire_items, sender)) is not None:
        return BatchResult(items, range(len(items)), [])
    accepted: list[Item] = []
    indexes: list[int] = []
    rejected: list[RejectedItem] = []
    for index, raw in enumerate(envelope.items):
        content = bytes(raw)
        try:
            accepted.append(_read_fast(content, sender) or _read_slow(content, sender))
            indexes.append(index)
        except ValidationError as error:
            message_id = find_message_id(content, limit_bytes=limits.item_bytes)
            rejected.append(RejectedItem(index, error.code, error.message, error.field, message_id, content))
    return BatchResult(accepted, indexes, rejected)


def _sender(envelope: Envelope, project_id: str, received_at: int, limits: Limits) -> _Sender:
    return _Sender(
        project_id=project_id,
        item_type=envelope.item_type,
        sent_at=envelope.sent_at,
        clock=_read_clock(envelope.sent_at, received_at),
        context=EMPTY_OBJECT if envelope.context is ABSENT else envelope.context,
        context_bytes=len(bytes(envelope.context)),
        integrations=EMPTY_OBJECT if envelope.integrations is ABSENT else envelope.integrations,
        integrations_bytes=len(bytes(envelope.integrations)),
        passed_quick_checks=envelope.passed_quick_checks,
        item_limit_bytes=limits.item_bytes,
    )


def _read_clock(sent_at: str | None, received_at: int) -> Clock:
    """Return the clock that wrote `sentAt`. An invalid `sentAt` is ignored and corrects nothing."""
    sent = None
    if sent_at is not None:
        with suppress(ValueError):
            sent = parse_time(sent_at)
    return Clock.of(sent, received_at)


def _read_fast(content: bytes, sender: _Sender) -> Item | None:
    """Return the item if it is certain to be valid, otherwise None."""
    if len(content) > sender.item_limit_bytes:
        return None
    if not sender.passed_quick_checks and not passes_quick_checks(content, ITEM_DEPTH):
        return None
    try:
        wire = _decode_wire_item(content)
    except msgspec.DecodeError:
        return None
    wire.type = sender.item_type or wire.type
    return _single(wire, content, sender)


def _read_slow(content: bytes, sender: _Sender) -> Item:
    """Return the item; raise `ValidationError` for the first rule that it breaks."""
    wire = read_item(content, item_type=sender.item_type, limit_bytes=sender.item_limit_bytes)
    item = _single(wire, content, sender)
    assert item is not None, "every item that passes the rules passes the fast path's checks"  # noqa: S101  # invariant
    return item


def _single(wire: WireItem, content: bytes, sender: _Sender) -> Item | None:
    identity = None
    if wire.message_id is None:
        identity = _identity(content, sender, wire)
        wire.message_id = _make_message_id(identity, sender)
    items = _items((wire,), sender)
    if items is None:
        return None
    size = len(content)
    if wire.context is ABSENT:
        size += sender.context_bytes
    if wire.integrations is ABSENT:
        size += sender.integrations_bytes
    if size > sender.item_limit_bytes:
        raise too_large("The item with the batch's `context` and `integrations`", size, sender.item_limit_bytes)
    if identity is not None:
        if sender.occurrences is None:
            sender.occurrences = {}
        sender.occurrences[identity] = sender.occurrences.get(identity, 0) + 1
    return items[0]


def _items(wires: Iterable[WireItem], sender: _Sender) -> list[Item] | None:
    """Return the items that *wires* become, or None if any of them needs the slow path.

    One loop instead of a function per item: the calls would add 2 % to the time of a request.
    """
    project_id = sender.project_id
    items: list[Item] = []
    for wire in wires:
        user_id, event, message_id = wire.user_id, wire.event, wire.message_id
        values, context, integrations = wire.properties, wire.context, wire.integrations
        is_track = wire.type == "track"
        if not is_track:
            event, values = user_id, wire.traits
        if (
            wire.type is None
            or user_id is None
            or event is None
            or message_id is None
            or user_id.isspace()
            or event.isspace()
            or message_id.isspace()
            or (values is not ABSENT and _first_byte(values)[0] != _OBJECT)
            or (context is not ABSENT and _first_byte(context)[0] != _OBJECT)
            or (integrations is not ABSENT and _first_byte(integrations)[0] != _OBJECT)
        ):
            return None
        clock = sender.clock if wire.sent_at is None else _read_clock(wire.sent_at, sender.clock.received_at)
        timestamp = wire.timestamp if wire.timestamp is not None else wire.original_timestamp
        original: str | None = None
        corrected = clock.received
        if timestamp is not None:
            try:
                original, corrected = clock.read(timestamp)
            except ValueError:
                return None
        values = EMPTY_OBJECT if values is ABSENT else values
        context = sender.context if context is ABSENT else context
        integrations = sender.integrations if integrations is ABSENT else integrations
        if is_track:
            items.append(
                Track(
                    project_id, message_id, user_id, corrected, clock.received, original, clock.sent,
                    wire.anonymous_id, context, integrations, event=event, properties=values,
                )
            )  # fmt: skip
        else:
            items.append(
                Identify(
                    project_id, message_id, user_id, corrected, clock.received, original, clock.sent,
                    wire.anonymous_id, context, integrations, traits=values,
                )
            )  # fmt: skip
    return items


def _identity(content: bytes, sender: _Sender, wire: WireItem) -> str | None:
    """Return what distinguishes an item without `messageId`, or None if it has no time of its own.

    A retry has the same identity: `sentAt`, which an SDK sets for each attempt, and the order of members do not count.
    """
    if not (wire.timestamp if wire.timestamp is not None else wire.original_timestamp):
        return None
    members = _decode_members(content)
    for name in _NOT_IDENTIFYING:
        members.pop(name, None)
    scope = f"{sender.project_id}\0{sender.item_type or ''}\0".encode()
    return blake2b(scope + _encode_sorted(members), digest_size=16).hexdigest()


def _make_message_id(identity: str | None, sender: _Sender) -> str:
    """Return the `messageId` for an item of this identity. Among equal items of a request, their order counts.

    Without a time, equal items may be different events, and the ID is random.
    """
    if identity is None:
        return str(uuid.uuid4())
    number = sender.occurrences.get(identity, 0) if sender.occurrences else 0
    return identity if number == 0 else blake2b(f"{identity}/{number}".encode(), digest_size=16).hexdigest()
