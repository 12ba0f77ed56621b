"""A request's body to items and refusals, in two steps, because the key to the project may stand in the body.

`read_request` takes the body apart; what is wrong with the whole of it is an exception. `check_items` then gives each
item its verdict, and no item's fault is another's.

Nearly every item is taken on a fast path: one decoding into a struct, mostly that of the whole body, the objects in it
left as raw bytes, and tests which are cheap because they only have to be sufficient. It never refuses. Whatever it is
not sure of goes through `schemas.rules`, where every rule is exact, so both ways come to the same item. Of two members
with one name the last counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from struct import Struct

import msgspec
from msgspec import Raw

from schemas.items import EMPTY_OBJECT, Identify, Item, Track
from schemas.refusals import Code, FaultError, MalformedBodyError, Refusal, RequestError, TooManyItemsError
from schemas.requests import DEFAULT_LIMITS, Limits, Request, read_request
from schemas.rules import ABSENT, ITEM_LEVELS, ItemType, WireItem, find_message_id, read_item
from schemas.shapes import is_plain
from schemas.times import Clock, parse_time

__all__ = [
    "DEFAULT_LIMITS",
    "Code",
    "ItemType",
    "Limits",
    "MalformedBodyError",
    "Refusal",
    "Request",
    "RequestError",
    "TooManyItemsError",
    "Verdicts",
    "check_items",
    "read_request",
]

_OBJECT = ord("{")
_first_byte = Struct("B").unpack_from
_decode_wire_item = msgspec.json.Decoder(WireItem).decode


class Verdicts(msgspec.Struct, frozen=True):
    """What became of each item, by its place in the batch; each is in one of the two."""

    accepted: list[tuple[int, Item]]
    refused: list[Refusal]


class _Sender(msgspec.Struct, frozen=True, gc=False):
    """What the items of one request share."""

    project_id: str
    item_type: ItemType | None
    sent_at: str | None
    """As it came."""
    clock: Clock
    context: Raw
    integrations: Raw
    plain: bool
    most_bytes: int


def check_items(request: Request, *, project_id: str, received_at: int, limits: Limits = DEFAULT_LIMITS) -> Verdicts:
    """Return a verdict on each item of *request*, which came for *project_id* at *received_at* (microseconds)."""
    sender = _sender(request, project_id, received_at, limits)
    if request.wire_items is not None and (all_items := _take_all(request.wire_items, sender)) is not None:
        return Verdicts(all_items, [])
    accepted: list[tuple[int, Item]] = []
    refused: list[Refusal] = []
    for index, raw in enumerate(request.items):
        content = bytes(raw)
        try:
            wire = _read_fast(content, sender) or read_item(
                content, item_type=sender.item_type, limit_bytes=limits.item_bytes
            )
            if wire.message_id is None:
                wire.message_id = _make_message_id(content, index, sender, wire)
            accepted.append((index, _item(wire, sender)))
        except FaultError as fault:
            message_id = find_message_id(content)
            refused.append(Refusal(index, fault.code, fault.message, fault.field, message_id, content))
    return Verdicts(accepted, refused)


def _sender(request: Request, project_id: str, received_at: int, limits: Limits) -> _Sender:
    return _Sender(
        project_id=project_id,
        item_type=request.item_type,
        sent_at=request.sent_at,
        clock=_read_clock(request.sent_at, received_at),
        context=EMPTY_OBJECT if request.context is ABSENT else request.context,
        integrations=EMPTY_OBJECT if request.integrations is ABSENT else request.integrations,
        plain=request.plain,
        most_bytes=limits.item_bytes,
    )


def _read_clock(sent_at: str | None, received_at: int) -> Clock:
    """Return the clock that wrote `sentAt`. What is no time is left out: it corrects nothing."""
    sent = None
    if sent_at is not None:
        with suppress(ValueError):
            sent = parse_time(sent_at)
    return Clock.of(sent, received_at)


def _take_all(wire_items: Iterable[WireItem], sender: _Sender) -> list[tuple[int, Item]] | None:
    """Return the items that *wire_items* become, None where one of them needs more than a look."""
    accepted: list[tuple[int, Item]] = []
    try:
        for index, wire in enumerate(wire_items):
            if wire.message_id is None or not _is_sure(wire):
                return None
            accepted.append((index, _item(wire, sender)))
    except FaultError:
        return None
    return accepted


def _read_fast(content: bytes, sender: _Sender) -> WireItem | None:
    """Return the item where it surely breaks no rule but that of `timestamp`, None where that is not sure."""
    if len(content) > sender.most_bytes or not (sender.plain or is_plain(content, ITEM_LEVELS)):
        return None
    try:
        wire = _decode_wire_item(content)
    except msgspec.DecodeError:
        return None
    wire.type = sender.item_type or wire.type
    return wire if _is_sure(wire) else None


def _is_sure(wire: WireItem) -> bool:
    """Return whether *wire*, whose texts have the right lengths, surely breaks no rule but that of `timestamp`."""
    user_id, event, message_id = wire.user_id, wire.event, wire.message_id
    values, context, integrations = wire.properties, wire.context, wire.integrations
    if wire.type != "track":
        event, values = user_id, wire.traits
    # Written out, since a call for each would cost as much as the rest.
    return not (
        wire.type is None
        or user_id is None
        or event is None
        or user_id.isspace()
        or event.isspace()
        or (message_id is not None and message_id.isspace())
        or (values is not ABSENT and _first_byte(values)[0] != _OBJECT)
        or (context is not ABSENT and _first_byte(context)[0] != _OBJECT)
        or (integrations is not ABSENT and _first_byte(integrations)[0] != _OBJECT)
    )


def _item(wire: WireItem, sender: _Sender) -> Item:
    """Return the item that *wire*, which has a messageId, becomes; `FaultError` where its timestamp is none."""
    sent_at, clock = sender.sent_at, sender.clock
    if wire.sent_at is not None:
        sent_at = wire.sent_at
        clock = _read_clock(sent_at, clock.received_at)
    timestamp = wire.timestamp if wire.timestamp is not None else wire.original_timestamp
    original: str | None = None
    corrected = clock.received
    if timestamp is not None:
        try:
            original, corrected = clock.read(timestamp)
        except ValueError:
            field = "timestamp" if wire.timestamp is not None else "originalTimestamp"
            raise FaultError(Code.INVALID_TIMESTAMP, field=field) from None
    message_id = wire.message_id or ""
    context = sender.context if wire.context is ABSENT else wire.context
    integrations = sender.integrations if wire.integrations is ABSENT else wire.integrations
    # By position, which is what makes a struct fastest.
    if wire.type == "track":
        return Track(
            sender.project_id,
            message_id,
            wire.user_id or "",
            wire.event or "",
            corrected,
            clock.received,
            original,
            clock.sent,
            wire.anonymous_id,
            EMPTY_OBJECT if wire.properties is ABSENT else wire.properties,
            context,
            integrations,
        )
    return Identify(
        sender.project_id,
        message_id,
        wire.user_id or "",
        corrected,
        clock.received,
        original,
        clock.sent,
        wire.anonymous_id,
        EMPTY_OBJECT if wire.traits is ABSENT else wire.traits,
        context,
        integrations,
    )


def _make_message_id(content: bytes, index: int, sender: _Sender, wire: WireItem) -> str:
    """Return an id for an item that has none: the same for the same bytes, where a client's clock tells them apart.

    Without one, two equal items may well be two events, so the id is random.
    """
    sent_at = wire.sent_at if wire.sent_at is not None else sender.sent_at
    if not sent_at and not (wire.timestamp if wire.timestamp is not None else wire.original_timestamp):
        return str(uuid.uuid4())
    scope = "\0".join((sender.project_id, sender.item_type or "", sent_at or "", str(index), ""))
    return blake2b(scope.encode() + content, digest_size=16).hexdigest()
