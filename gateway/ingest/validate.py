"""A request's body to items and refusals, in two steps, because the key to the project may stand in the body.

`read_request` takes the body apart; what is wrong with the whole of it is an exception. `check_items` then gives each
item its verdict, and no item's fault is another's.

Nearly every item is taken on a fast path: one decoding into a struct, mostly that of the whole body, the objects in it
left as raw bytes, and tests which are cheap because they only have to be sufficient. It refuses nothing but what is no
time. Whatever else it is not sure of goes through `gateway.ingest.rules`, where every rule is exact, so both ways come to the
same item. Of two members with one name the last counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from struct import Struct

import msgspec
from msgspec import Raw

from gateway.ingest.envelope import DEFAULT_LIMITS, Limits, Request, read_request
from gateway.ingest.json_checks import passes_quick_checks
from gateway.ingest.rejections import (
    Code,
    FaultError,
    MalformedBodyError,
    RejectedItem,
    RequestError,
    TooManyItemsError,
)
from gateway.ingest.rules import ABSENT, ITEM_LEVELS, ItemType, WireItem, find_message_id, read_item
from schemas.items import EMPTY_OBJECT, Identify, Item, Track
from schemas.times import Clock, parse_time

__all__ = [
    "DEFAULT_LIMITS",
    "BatchResult",
    "Code",
    "ItemType",
    "Limits",
    "MalformedBodyError",
    "RejectedItem",
    "Request",
    "RequestError",
    "TooManyItemsError",
    "check_items",
    "read_request",
]

_OBJECT = ord("{")
_first_byte = Struct("B").unpack_from
_decode_wire_item = msgspec.json.Decoder(WireItem).decode


class BatchResult(msgspec.Struct, frozen=True):
    """What became of each item of a batch: it is accepted or refused."""

    items: list[Item]
    """The accepted ones."""
    indexes: Sequence[int]
    """The place of each of them in the batch."""
    refused: list[RejectedItem]

    @property
    def accepted(self) -> list[tuple[int, Item]]:
        """The accepted items with their places."""
        return list(zip(self.indexes, self.items, strict=True))


class _Sender(msgspec.Struct, frozen=True, gc=False):
    """What the items of one request share."""

    project_id: str
    item_type: ItemType | None
    sent_at: str | None
    """As it came."""
    clock: Clock
    context: Raw
    context_bytes: int
    """How much longer an item without its own gets; 0 where nothing stands beside the batch."""
    integrations: Raw
    integrations_bytes: int
    plain: bool
    most_bytes: int


def check_items(request: Request, *, project_id: str, received_at: int, limits: Limits = DEFAULT_LIMITS) -> BatchResult:
    """Return a verdict on each item of *request*, which came for *project_id* at *received_at* (microseconds)."""
    sender = _sender(request, project_id, received_at, limits)
    if request.wire_items is not None:
        with suppress(FaultError):
            if (items := _items(request.wire_items, sender)) is not None:
                return BatchResult(items, range(len(items)), [])
    accepted: list[Item] = []
    indexes: list[int] = []
    refused: list[RejectedItem] = []
    for index, raw in enumerate(request.items):
        content = bytes(raw)
        try:
            accepted.append(_read_fast(content, index, sender) or _read_exactly(content, index, sender))
            indexes.append(index)
        except FaultError as fault:
            message_id = find_message_id(content)
            refused.append(RejectedItem(index, fault.code, fault.message, fault.field, message_id, content))
    return BatchResult(accepted, indexes, refused)


def _sender(request: Request, project_id: str, received_at: int, limits: Limits) -> _Sender:
    return _Sender(
        project_id=project_id,
        item_type=request.item_type,
        sent_at=request.sent_at,
        clock=_read_clock(request.sent_at, received_at),
        context=EMPTY_OBJECT if request.context is ABSENT else request.context,
        context_bytes=len(bytes(request.context)),
        integrations=EMPTY_OBJECT if request.integrations is ABSENT else request.integrations,
        integrations_bytes=len(bytes(request.integrations)),
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


def _read_fast(content: bytes, index: int, sender: _Sender) -> Item | None:
    """Return the item where it surely breaks no rule but that of `timestamp`, None where that is not sure."""
    if len(content) > sender.most_bytes or not (sender.plain or passes_quick_checks(content, ITEM_LEVELS)):
        return None
    try:
        wire = _decode_wire_item(content)
    except msgspec.DecodeError:
        return None
    wire.type = sender.item_type or wire.type
    return _single(wire, content, index, sender)


def _read_exactly(content: bytes, index: int, sender: _Sender) -> Item:
    """Return the item; `FaultError` names the first rule that it breaks."""
    wire = read_item(content, item_type=sender.item_type, limit_bytes=sender.most_bytes)
    item = _single(wire, content, index, sender)
    assert item is not None, "the exact rules let nothing through that the tests of the fast way do not"  # noqa: S101
    return item


def _single(wire: WireItem, content: bytes, index: int, sender: _Sender) -> Item | None:
    if wire.message_id is None:
        wire.message_id = _make_message_id(content, index, sender, wire)
    items = _items((wire,), sender)
    if items is None:
        return None
    size = len(content)
    if wire.context is ABSENT:
        size += sender.context_bytes
    if wire.integrations is ABSENT:
        size += sender.integrations_bytes
    if size > sender.most_bytes:
        raise FaultError(
            Code.ITEM_TOO_LARGE,
            f"With what the batch gives it, the item has {size} bytes; {sender.most_bytes} are allowed.",
        )
    return items[0]


def _items(wires: Iterable[WireItem], sender: _Sender) -> list[Item] | None:
    """Return the items that *wires*, whose texts have the right lengths, become; None where a look is not enough.

    Raises `FaultError` where a timestamp is none. All of it is one loop, and structs are made by position: calls and
    names would cost as much as the rest.
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
                field = "timestamp" if wire.timestamp is not None else "originalTimestamp"
                raise FaultError(Code.INVALID_TIMESTAMP, field=field) from None
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


def _make_message_id(content: bytes, index: int, sender: _Sender, wire: WireItem) -> str:
    """Return an id for an item that has none: the same for the same bytes, where a client's clock tells them apart.

    Without one, two equal items may well be two events, so the id is random.
    """
    sent_at = wire.sent_at if wire.sent_at is not None else sender.sent_at
    if not sent_at and not (wire.timestamp if wire.timestamp is not None else wire.original_timestamp):
        return str(uuid.uuid4())
    scope = "\0".join((sender.project_id, sender.item_type or "", sent_at or "", str(index), ""))
    return blake2b(scope.encode() + content, digest_size=16).hexdigest()
