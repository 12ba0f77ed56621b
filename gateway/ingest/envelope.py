"""A request's body taken apart: its items, not checked yet, and what stands beside them.

Mostly one decoding reads the items as well. Where they do not all fit their types, another finds them and leaves each
as the bytes that it is; where that fails, too, `gateway.ingest.lenient_json` finds them, since the fault may be that of one item
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from gateway.ingest.json_checks import passes_quick_checks
from gateway.ingest.lenient_json import read_members
from gateway.ingest.rejections import Code, FaultError, MalformedBodyError, TooManyItemsError
from gateway.ingest.rules import ABSENT, ITEM_LEVELS, ItemType, WireItem, check_object, read_text

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_CROWDED_FROM_BYTES = 1024 * 1024
_CROWDED_FROM_COMMAS = 200_000
"""A body with as many may hold millions of items: then they are counted before they are all in memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken."""

    batch_items: int = 2500
    item_bytes: int = 32 * 1024


DEFAULT_LIMITS = Limits()


class Request(msgspec.Struct, frozen=True):
    """A body taken apart."""

    body: bytes
    count: int
    """Of its items, at least one."""
    wire_items: Sequence[WireItem] | None = None
    """They, where it is sure that they have the right types, are not too large, and what `passes_quick_checks` asks."""
    raw_items: Sequence[Raw] | None = None
    """They in the other case."""
    item_type: ItemType | None = None
    """The type of the one item, where the path gives it."""
    write_key: str | None = None
    sent_at: str | None = None
    """The batch's `sentAt`, as it came."""
    context: Raw = ABSENT
    integrations: Raw = ABSENT
    plain: bool = False
    """Whether it is sure for the whole body, and so for each item, what `passes_quick_checks` asks."""

    @property
    def items(self) -> Sequence[Raw]:
        """Each item as the bytes that it is."""
        return _decode_envelope(self.body).batch if self.raw_items is None else self.raw_items


T = TypeVar("T")


class _Envelope(msgspec.Struct, Generic[T], rename="camel", gc=False):
    """The body of a batch."""

    batch: list[T]
    write_key: str | None = None
    sent_at: str | None = None
    context: Raw = ABSENT
    integrations: Raw = ABSENT


_decode_envelope = msgspec.json.Decoder(_Envelope[Raw]).decode
_decode_whole = msgspec.json.Decoder(_Envelope[WireItem]).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode

_BATCH_LEVELS = ITEM_LEVELS + 2
"""The body's object and its array hold the items."""


def read_request(body: bytes, *, item_type: ItemType | None = None, limits: Limits = DEFAULT_LIMITS) -> Request:
    """Return the request that *body* is: a batch, or one item where the path gives its *item_type*.

    Raises `MalformedBodyError` where it is not JSON in UTF-8 (with or without a byte order mark), or not what the
    contract says about the fields beside the items, and `TooManyItemsError`.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        if not body.isascii():
            body.decode()
        return _read_batch(body, limits) if item_type is None else _read_single(body, item_type)
    except UnicodeDecodeError as error:
        raise MalformedBodyError(Code.INVALID_ENCODING) from error
    except FaultError as fault:
        raise MalformedBodyError(fault.code, fault.message) from fault


def _read_batch(body: bytes, limits: Limits) -> Request:
    # As large as one item may be at most, so that none of them is too large.
    if len(body) <= limits.item_bytes and passes_quick_checks(body, _BATCH_LEVELS):
        with suppress(msgspec.DecodeError):
            return _request(body, _decode_whole(body), limits, whole=True)
    envelope = None
    if len(body) < _CROWDED_FROM_BYTES or body.count(b",") < _CROWDED_FROM_COMMAS:
        with suppress(msgspec.DecodeError, RecursionError):
            envelope = _decode_envelope(body)
    if envelope is None:
        envelope = _split_envelope(body.decode(), limits)
    return _request(body, envelope, limits, whole=False)


def _request(body: bytes, envelope: _Envelope[Any], limits: Limits, *, whole: bool) -> Request:
    count = len(envelope.batch)
    if not count:
        raise MalformedBodyError(Code.BATCH_EMPTY)
    if count > limits.batch_items:
        raise TooManyItemsError(limits.batch_items)
    return Request(
        body=body,
        count=count,
        wire_items=envelope.batch if whole else None,
        raw_items=None if whole else envelope.batch,
        write_key=envelope.write_key,
        sent_at=envelope.sent_at,
        context=check_object({"context": envelope.context}, "context"),
        integrations=check_object({"integrations": envelope.integrations}, "integrations"),
        plain=whole or passes_quick_checks(body, _BATCH_LEVELS),
    )


def _split_envelope(text: str, limits: Limits) -> _Envelope[Raw]:
    members = read_members(text, most_items=limits.batch_items)
    batch = members.get("batch")
    if batch is None:
        raise MalformedBodyError(Code.BATCH_REQUIRED)
    if isinstance(batch, Raw):
        raise MalformedBodyError(Code.BATCH_NOT_AN_ARRAY)
    fields = _fields(members)
    return _Envelope(
        batch=batch,
        write_key=read_text(fields, "writeKey"),
        sent_at=read_text(fields, "sentAt"),
        context=fields.get("context", ABSENT),
        integrations=fields.get("integrations", ABSENT),
    )


def _read_single(body: bytes, item_type: ItemType) -> Request:
    try:
        fields = _decode_members(body)
    except (msgspec.DecodeError, RecursionError):
        fields = _fields(read_members(body.decode(), most_items=None))
    return Request(
        body=body,
        count=1,
        raw_items=[Raw(body.strip(_SPACE))],
        item_type=item_type,
        write_key=read_text(fields, "writeKey"),
        plain=passes_quick_checks(body, ITEM_LEVELS),
    )


def _fields(members: dict[str, Raw | list[Raw]]) -> dict[str, Raw]:
    return {name: value for name, value in members.items() if isinstance(value, Raw)}
