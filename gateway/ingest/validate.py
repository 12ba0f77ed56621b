"""Validates the items of a request: each item is accepted or rejected on its own.

Fast path: items that `parse_envelope` or a single decoding turned into structs, with their objects left as raw bytes.
It accepts items that are certain to be valid and rejects none.

Slow path: `gateway.ingest.rules`, which decides about the other items, rule by rule. Both paths return the same items.
The last of several members with one name wins.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from struct import Struct

import msgspec
from msgspec import Raw

from gateway.ingest.coerce.ids import is_unusual, is_unusual_text
from gateway.ingest.coerce.times import sent_time
from gateway.ingest.envelope import DEFAULT_LIMITS, Envelope, Limits
from gateway.ingest.fields import ABSENT
from gateway.ingest.json_checks import passes_quick_checks
from gateway.ingest.rejections import RejectedItem, ValidationError
from gateway.ingest.rules import ITEM_DEPTH, PathType, ReadItem, WireItem, find_message_id, read_item, too_large
from schemas.items import EMPTY_OBJECT, Identify, Item, ItemWarning, Track, WarningCode
from schemas.times import EARLIEST, Clock, parse_time

_OBJECT = ord("{")
_first_byte = Struct("B").unpack_from
_decode_wire_item = msgspec.json.Decoder(WireItem).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_NULL = Raw(b"null")
_never = frozenset[str]().__contains__
_NOT_IDENTIFYING = ("messageId", "sentAt", "writeKey")
"""Members of an item that a retry may change."""


class BatchResult(msgspec.Struct, frozen=True):
    """The result of each item of a batch."""

    accepted: list[Item]
    accepted_indexes: Sequence[int]
    """Index in the batch of each accepted item."""
    rejected: list[RejectedItem]
    has_warnings: bool = False
    """Whether an accepted item has warnings."""


class _Sender(msgspec.Struct, gc=False):
    """What the items of one request share."""

    project_id: str
    token_id: str
    item_type: PathType | None
    clock: Clock
    """The clock that wrote the batch's `sentAt`."""
    clock_warnings: Sequence[ItemWarning]
    context: Raw
    context_bytes: int
    """Size that the batch's `context` adds to an item without its own."""
    integrations: Raw
    integrations_bytes: int
    context_warnings: Sequence[ItemWarning]
    integrations_warnings: Sequence[ItemWarning]
    passed_quick_checks: bool
    item_limit_bytes: int
    is_unusual: Callable[[str], bool]
    """Whether a `userId` needs the slow path: it is blank, or needs a warning."""
    has_warnings: bool
    """Whether the fields of the batch have warnings: then each item needs the slow path."""
    occurrences: dict[str, int]
    """How many items of each identity the request had so far; of those without `messageId` only."""


def validate_items(
    envelope: Envelope, *, project_id: str, received_at: int, token_id: str = "", limits: Limits = DEFAULT_LIMITS
) -> BatchResult:
    """Return the result of each item of *envelope*, sent for *project_id* and received at *received_at* (µs)."""
    sender = _sender(envelope, project_id, token_id, received_at, limits)
    if envelope.wire_items is not None and not sender.has_warnings:
        items = _items(envelope.wire_items, sender, sender.is_unusual)
        if items is not None:
            return BatchResult(items, range(len(items)), [])
    accepted: list[Item] = []
    indexes: list[int] = []
    rejected: list[RejectedItem] = []
    has_warnings = False
    for index, raw in enumerate(envelope.items):
        content = bytes(raw)
        try:
            item = _read_fast(content, sender)
            if item is None:
                item = _read_slow(content, sender)
                has_warnings = has_warnings or bool(item.warnings)
            accepted.append(item)
            indexes.append(index)
        except ValidationError as error:
            message_id = find_message_id(content, limit_bytes=limits.item_bytes)
            rejected.append(RejectedItem(index, error.code, error.message, error.field, message_id, content))
    return BatchResult(accepted, indexes, rejected, has_warnings)


def _sender(envelope: Envelope, project_id: str, token_id: str, received_at: int, limits: Limits) -> _Sender:
    sent: int | None = None
    clock_warnings: Sequence[ItemWarning] = ()
    if envelope.sent_at is not ABSENT and envelope.sent_at != _NULL:
        sent, clock_warnings = sent_time(envelope.sent_at)
    body = envelope.body
    return _Sender(
        project_id=project_id,
        token_id=token_id,
        item_type=envelope.item_type,
        clock=Clock.of(sent, received_at),
        clock_warnings=clock_warnings,
        context=EMPTY_OBJECT if envelope.context is ABSENT else envelope.context,
        context_bytes=len(bytes(envelope.context)),
        integrations=EMPTY_OBJECT if envelope.integrations is ABSENT else envelope.integrations,
        integrations_bytes=len(bytes(envelope.integrations)),
        context_warnings=envelope.context_warnings,
        integrations_warnings=envelope.integrations_warnings,
        passed_quick_checks=envelope.passed_quick_checks,
        item_limit_bytes=limits.item_bytes,
        # Of ASCII text, only an escape writes characters that are invisible.
        is_unusual=is_unusual_text if body.isascii() and b"\\" not in body else is_unusual,
        has_warnings=bool(clock_warnings or envelope.context_warnings or envelope.integrations_warnings),
        occurrences={},
    )


def _read_fast(content: bytes, sender: _Sender) -> Item | None:
    """Return the item if it is certain to be valid and needs no warning, otherwise None."""
    if len(content) > sender.item_limit_bytes or sender.has_warnings:
        return None
    if not sender.passed_quick_checks and not passes_quick_checks(content, ITEM_DEPTH):
        return None
    try:
        wire = _decode_wire_item(content)
    except msgspec.DecodeError:
        return None
    match sender.item_type:
        case None:
            pass
        case "track" | "identify" as kind:
            wire.type = kind
        case _:
            return None
    return _single(wire, content, sender, None)


def _read_slow(content: bytes, sender: _Sender) -> Item:
    """Return the item, repaired; raise `ValidationError` for the first rule that it breaks."""
    read = read_item(content, item_type=sender.item_type, limit_bytes=sender.item_limit_bytes)
    wire, warnings = read.wire, read.warnings
    if any(warning.code is WarningCode.SENT_AT_IGNORED for warning in warnings):
        sender = msgspec.structs.replace(sender, clock=Clock.of(None, sender.clock.received_at))
    elif wire.sent_at is None:
        warnings += sender.clock_warnings
    if wire.context is ABSENT:
        warnings += sender.context_warnings
    if wire.integrations is ABSENT:
        warnings += sender.integrations_warnings
    item = _single(wire, content, sender, read)
    assert item is not None, "every item that passes the rules passes the fast path's checks"  # noqa: S101  # invariant
    return msgspec.structs.replace(item, warnings=tuple(warnings)) if warnings else item


def _single(wire: WireItem, content: bytes, sender: _Sender, read: ReadItem | None) -> Item | None:
    """Return the item that *wire* becomes, or None if it needs the slow path, which passes what it has *read*."""
    identity = None
    if wire.message_id is None:
        identity = _identity(_decode_members(content) if read is None else read.members, sender, wire)
        wire.message_id = _make_message_id(identity, sender)
    items = _items((wire,), sender, sender.is_unusual if read is None else _never)
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
        sender.occurrences[identity] = sender.occurrences.get(identity, 0) + 1
    return items[0]


def _items(wires: Iterable[WireItem], sender: _Sender, unusual_user_id: Callable[[str], bool]) -> list[Item] | None:
    """Return the items that *wires* become, or None if any of them needs the slow path.

    One loop instead of a function per item: the calls would add 2 % to the time of a request.
    """
    project_id, token_id = sender.project_id, sender.token_id
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
            or event.isspace()
            or message_id.isspace()
            or (values is not ABSENT and _first_byte(values)[0] != _OBJECT)
            or (context is not ABSENT and _first_byte(context)[0] != _OBJECT)
            or (integrations is not ABSENT and _first_byte(integrations)[0] != _OBJECT)
            or unusual_user_id(user_id)
        ):
            return None
        clock = sender.clock
        if wire.sent_at is not None:
            own = _read_clock(wire.sent_at, clock.received_at)
            if own is None:
                return None
            clock = own
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
                    wire.anonymous_id, context, integrations, (), token_id, event=event, properties=values,
                )
            )  # fmt: skip
        else:
            items.append(
                Identify(
                    project_id, message_id, user_id, corrected, clock.received, original, clock.sent,
                    wire.anonymous_id, context, integrations, (), token_id, traits=values,
                )
            )  # fmt: skip
    return items


def _read_clock(sent_at: str, received_at: int) -> Clock | None:
    """Return the clock that wrote an item's `sentAt`, None if it needs the slow path."""
    try:
        sent = parse_time(sent_at)
    except ValueError:
        return None
    return Clock.of(sent, received_at) if sent >= EARLIEST else None


def _identity(members: dict[str, Raw], sender: _Sender, wire: WireItem) -> str | None:
    """Return what distinguishes an item without `messageId`, or None if it has no time of its own.

    A retry has the same identity: `sentAt`, which an SDK sets for each attempt, and the order of members do not count.
    """
    if not (wire.timestamp if wire.timestamp is not None else wire.original_timestamp):
        return None
    members = {name: value for name, value in members.items() if name not in _NOT_IDENTIFYING}
    scope = f"{sender.project_id}\0{sender.item_type or ''}\0".encode()
    return blake2b(scope + _encode_sorted(members), digest_size=16).hexdigest()


def _make_message_id(identity: str | None, sender: _Sender) -> str:
    """Return the `messageId` for an item of this identity. Among equal items of a request, their order counts.

    Without a time, equal items may be different events, and the ID is random.
    """
    if identity is None:
        return str(uuid.uuid4())
    number = sender.occurrences.get(identity, 0)
    return identity if number == 0 else blake2b(f"{identity}/{number}".encode(), digest_size=16).hexdigest()
