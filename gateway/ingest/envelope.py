"""Splits a request body into its items, not yet validated, and the fields beside them.

The fast path decodes the body and its items at once. If an item does not fit its types, the body is decoded with each
item left as raw bytes. If that fails, the fault may still be that of a single item, and `gateway.ingest.lenient_json`
splits the body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from gateway.errors import MalformedBodyError, TooManyItemsError
from gateway.ingest.fields import ABSENT, MAX_DEPTH, Fields
from gateway.ingest.json_checks import passes_quick_checks
from gateway.ingest.lenient_json import split_object
from gateway.ingest.rejections import Code, ValidationError
from gateway.ingest.rules import ITEM_DEPTH, PathType, WireItem
from schemas.items import ItemWarning

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITESPACE = b" \t\r\n"
_COUNTED_FROM_BYTES = 1024 * 1024
_COUNTED_FROM_COMMAS = 200_000
"""A body that reaches both may have millions of items. Decoding them stops at the limit."""
_COUNTED_UP_TO_ITEMS = 50_000
"""Higher limits of items are checked after the items are decoded."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Size limits of a request."""

    batch_items: int = 2500
    """`SEQUENCE_GATEWAY_BATCH_LIMIT_ITEMS`."""
    item_bytes: int = 32 * 1024
    """`SEQUENCE_GATEWAY_ITEM_LIMIT_BYTES`."""

    @property
    def parts(self) -> int:
        """Members and items that the lenient parser reads: more than an item within the limit can have."""
        return self.batch_items + self.item_bytes // 4


DEFAULT_LIMITS = Limits()


class Envelope(msgspec.Struct, frozen=True):
    """The parsed body of a request."""

    body: bytes
    count: int
    """Number of items, at least 1."""
    wire_items: Sequence[WireItem] | None = None
    """Decoded items, if the fast path applied: each is within the size limit and passes the quick checks."""
    raw_items: Sequence[Raw] | None = None
    """Undecoded items, if it did not."""
    item_type: PathType | None = None
    """Type of the single item, if the path gives it."""
    write_key: str | None = None
    sent_at: Raw = ABSENT
    """The batch's `sentAt` as received."""
    context: Raw = ABSENT
    integrations: Raw = ABSENT
    context_warnings: Sequence[ItemWarning] = ()
    """Warnings about `context`, which concern the items without their own."""
    integrations_warnings: Sequence[ItemWarning] = ()
    passed_quick_checks: bool = False
    """Whether the whole body passes `passes_quick_checks`, and therefore each item."""

    @property
    def items(self) -> Sequence[Raw]:
        """The JSON text of each item."""
        return _decode_batch(self.body).batch if self.raw_items is None else self.raw_items


T = TypeVar("T")


class _Batch(msgspec.Struct, Generic[T], rename="camel", gc=False):
    batch: list[T]
    write_key: str | None = None
    sent_at: Raw = ABSENT
    context: Raw = ABSENT
    integrations: Raw = ABSENT


class _Unsplit(msgspec.Struct, rename="camel", gc=False):
    batch: Raw
    write_key: str | None = None
    sent_at: Raw = ABSENT
    context: Raw = ABSENT
    integrations: Raw = ABSENT


class _Key(msgspec.Struct, rename="camel", gc=False):
    write_key: Raw = Raw(b"null")


_decode_batch = msgspec.json.Decoder(_Batch[Raw]).decode
_decode_batch_and_items = msgspec.json.Decoder(_Batch[WireItem]).decode
_decode_unsplit_batch = msgspec.json.Decoder(_Unsplit).decode
_decode_key = msgspec.json.Decoder(_Key).decode

_MAX_WRITE_KEY_BYTES = 1024
_WRITE_KEY = re.compile(rb'"writeKey"[ \t\r\n]*+:[ \t\r\n]*+"([^"\\]{1,256}+)"')
_MAX_WRITE_KEYS = 8

EXAMPLE_BODIES: Mapping[PathType | None, str] = {
    None: '{"batch": [{"type": "track", "userId": "ada", "event": "Signed Up"}]}',
    "track": '{"userId": "ada", "event": "Signed Up"}',
    "identify": '{"userId": "ada", "traits": {"plan": "pro"}}',
}
"""Bodies that messages show."""
_ABOUT_FORM = frozenset(
    {Code.INVALID_JSON, Code.NOT_AN_OBJECT, Code.BATCH_REQUIRED, Code.BATCH_NOT_AN_ARRAY, Code.BATCH_EMPTY}
)

_BATCH_DEPTH = ITEM_DEPTH + 2
"""The body's object and the `batch` array contain the items."""


def parse_envelope(body: bytes, *, item_type: PathType | None = None, limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """Return the parsed *body*: a batch, or a single item if the path gives its *item_type*.

    The body is JSON in UTF-8, with or without a byte order mark. Raises `MalformedBodyError` if it is not, or if a
    field beside the items is invalid, and `TooManyItemsError`.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        if not body.isascii():
            body.decode()
        return _parse_batch(body, limits) if item_type is None else _parse_single(body, item_type, limits)
    except UnicodeDecodeError as error:
        raise MalformedBodyError(Code.INVALID_ENCODING) from error
    except ValidationError as error:
        raise MalformedBodyError(error.code, error.message) from error
    except MalformedBodyError as error:
        if error.code not in _ABOUT_FORM or item_type not in EXAMPLE_BODIES:
            raise
        raise MalformedBodyError(error.code, f"{error} Send, for example: {EXAMPLE_BODIES[item_type]}") from error


def find_write_keys(body: bytes) -> list[str]:
    """Return what may be the `writeKey` of *body*, without parsing it: every byte is read once.

    `parse_envelope` decides. Of a body that is not strict JSON, members named `writeKey` at any place are returned, the
    last ones first.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        key = _decode_key(body).write_key
    except (msgspec.DecodeError, RecursionError):
        found = _WRITE_KEY.findall(body)[: -_MAX_WRITE_KEYS - 1 : -1]
        return [name.decode() for name in found if name.isascii()]
    if len(bytes(key)) > _MAX_WRITE_KEY_BYTES:
        return []
    with suppress(ValidationError):
        return list(filter(None, [Fields({"writeKey": key}).text("writeKey")]))
    return []


def _parse_batch(body: bytes, limits: Limits) -> Envelope:
    # No item of a body that is itself within the item limit exceeds that limit.
    passed_quick_checks = passes_quick_checks(body, _BATCH_DEPTH)
    if passed_quick_checks and len(body) <= limits.item_bytes:
        with suppress(msgspec.DecodeError):
            decoded = _decode_batch_and_items(body)
            return _envelope(body, decoded, limits, decoded.batch, passed_quick_checks=True)
    counted = (
        len(body) >= _COUNTED_FROM_BYTES
        and limits.batch_items <= _COUNTED_UP_TO_ITEMS
        and body.count(b",") >= _COUNTED_FROM_COMMAS
    )
    try:
        batch = _decode_and_count(body, limits.batch_items) if counted else _decode_batch(body)
    except (msgspec.DecodeError, RecursionError):
        batch = _split_batch(body.decode(), limits)
        passed_quick_checks = False  # They say nothing about text that is not strict JSON.
    wire_items = _decode_small_items(body, batch, limits) if passed_quick_checks else None
    return _envelope(body, batch, limits, wire_items, passed_quick_checks=passed_quick_checks)


def _decode_small_items(body: bytes, batch: _Batch[Raw], limits: Limits) -> list[WireItem] | None:
    """Return the decoded items of *body* if each is within the limit, with what it inherits, and fits its types."""
    inherited = len(batch.context) + len(batch.integrations)
    if max(map(len, batch.batch), default=0) + inherited > limits.item_bytes:
        return None
    with suppress(msgspec.DecodeError):
        return _decode_batch_and_items(body).batch
    return None


def _decode_and_count(body: bytes, max_items: int) -> _Batch[Raw]:
    """Return what `_decode_batch` returns; raise `TooManyItemsError` as soon as `batch` exceeds *max_items*."""
    whole = _decode_unsplit_batch(body)
    try:
        fields = msgspec.structs.astuple(msgspec.json.decode(whole.batch, type=_bounded_array(max_items)))
    except msgspec.ValidationError:
        if not bytes(whole.batch).startswith(b"["):
            raise
        raise TooManyItemsError(max_items) from None
    items = list(takewhile(lambda item: item is not ABSENT, fields))
    return _Batch(items, whole.write_key, whole.sent_at, whole.context, whole.integrations)


@lru_cache(maxsize=2)
def _bounded_array(max_items: int) -> type[msgspec.Struct]:
    """Return a type for arrays of at most *max_items*, which the decoder of msgspec enforces while it decodes."""
    fields = [(f"item_{number}", Raw, ABSENT) for number in range(max_items)]
    return msgspec.defstruct("BoundedArray", fields, array_like=True, forbid_unknown_fields=True, gc=False)


def _envelope(
    body: bytes,
    batch: _Batch[Any],
    limits: Limits,
    wire_items: list[WireItem] | None,
    *,
    passed_quick_checks: bool,
) -> Envelope:
    count = len(batch.batch)
    if not count:
        raise MalformedBodyError(Code.BATCH_EMPTY)
    if count > limits.batch_items:
        raise TooManyItemsError(limits.batch_items)
    context, context_warnings = _object_beside("context", batch.context, is_checked=passed_quick_checks)
    integrations, integrations_warnings = _object_beside(
        "integrations", batch.integrations, is_checked=passed_quick_checks
    )
    return Envelope(
        body=body,
        count=count,
        wire_items=wire_items,
        raw_items=None if batch.batch is wire_items else batch.batch,
        write_key=batch.write_key,
        sent_at=batch.sent_at,
        context=context,
        integrations=integrations,
        context_warnings=context_warnings,
        integrations_warnings=integrations_warnings,
        passed_quick_checks=passed_quick_checks,
    )


def _object_beside(name: str, value: Raw, *, is_checked: bool) -> tuple[Raw, Sequence[ItemWarning]]:
    """Return the object *name* beside the items and the warnings about it; *is_checked* in a body of strict JSON."""
    if value is ABSENT:
        return ABSENT, ()
    text = bytes(value)
    if is_checked and text.startswith(b"{") and text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return value, ()  # With so few brackets it cannot nest too deep.
    fields = Fields({name: value})
    return fields.batch_object(name), fields.warnings


def _split_batch(text: str, limits: Limits) -> _Batch[Raw]:
    members = split_object(text, max_items=limits.batch_items, max_parts=limits.parts)
    batch = members.get("batch")
    if batch is None:
        raise MalformedBodyError(Code.BATCH_REQUIRED)
    if isinstance(batch, Raw):
        raise MalformedBodyError(Code.BATCH_NOT_AN_ARRAY)
    fields = _without_batch(members)
    return _Batch(
        batch=batch,
        write_key=Fields(fields).text("writeKey"),
        sent_at=fields.get("sentAt", ABSENT),
        context=fields.get("context", ABSENT),
        integrations=fields.get("integrations", ABSENT),
    )


def _parse_single(body: bytes, item_type: PathType, limits: Limits) -> Envelope:
    try:
        fields = {"writeKey": _decode_key(body).write_key}
    except (msgspec.DecodeError, RecursionError):
        fields = _without_batch(split_object(body.decode(), max_items=None, max_parts=limits.parts))
    return Envelope(
        body=body,
        count=1,
        raw_items=[Raw(body.strip(_WHITESPACE))],
        item_type=item_type,
        write_key=Fields(fields).text("writeKey"),
        passed_quick_checks=passes_quick_checks(body, ITEM_DEPTH),
    )


def _without_batch(members: dict[str, Raw | list[Raw]]) -> dict[str, Raw]:
    return {name: value for name, value in members.items() if isinstance(value, Raw)}
