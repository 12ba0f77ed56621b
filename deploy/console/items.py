"""Items as the API shows them, from rows of ClickHouse and from records of Kafka. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw

from processors.sink.rows import RejectedRow
from schemas.items import Identify, ItemWarning, Track
from schemas.records import INVALID_ITEM, encode_item

CONTENT_CHARACTERS = 32 * 1024
"""Longest content that is shown as a whole. An item may have 512 KiB, and a reply 500 items."""

Verdict = Literal["accepted", "duplicate", "rejected"]
Kind = Literal["track", "identify"]

_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw])
_NULL = Raw(b"null")


class ShownWarning(msgspec.Struct, frozen=True):
    """A repair of the gateway."""

    code: str
    field: str
    sent: str = ""


class Item(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An item and what became of it."""

    received_at: str
    project_id: str
    verdict: Verdict
    stage: str | None = None
    """What rejected it."""
    code: str | None = None
    field: str | None = None
    """The field at fault, or the column of a row."""
    message: str | None = None
    type: Kind | None = None
    event: str | None = None
    user_id: str | None = None
    message_id: str | None = None
    warnings: tuple[ShownWarning, ...] = ()
    partition: int | None = None
    """On `items.v1`; None for an item that the gateway rejected."""
    offset: int | None = None
    content: Raw
    """The item as JSON, or a text with what is no JSON or is cut."""
    is_content_cut: bool = False


def of_item(item: Track | Identify, verdict: Verdict, place: tuple[int | None, int | None], value: bytes) -> Item:
    """Return *item*, whose record has *value*, at *place*: partition and offset on `items.v1`."""
    is_cut = len(value) > CONTENT_CHARACTERS
    return Item(
        received_at=item.received_at,
        project_id=item.project_id,
        verdict=verdict,
        type="track" if isinstance(item, Track) else "identify",
        event=item.event if isinstance(item, Track) else None,
        user_id=item.user_id,
        message_id=item.message_id,
        warnings=shown_warnings(item.warnings),
        partition=place[0],
        offset=place[1],
        content=_cut(value.decode(errors="replace")) if is_cut else Raw(value),
        is_content_cut=is_cut,
    )


def of_rejection(row: RejectedRow) -> Item:
    """Return the rejected item of *row*."""
    is_placed = row.source_topic == "items.v1"
    content, is_cut = shown_content(row.content, is_json=not row.is_base64)
    return Item(
        received_at=row.received_at,
        project_id=row.project_id,
        verdict="rejected",
        stage=row.stage,
        code=row.code,
        field=row.field or None,
        message=row.message,
        type="track" if row.type == "track" else "identify" if row.type == "identify" else None,
        event=row.event or None,
        user_id=row.user_id or None,
        message_id=row.message_id or None,
        partition=row.rejected_partition if is_placed else None,
        offset=row.rejected_offset if is_placed else None,
        content=content,
        is_content_cut=is_cut or row.is_truncated,
    )


def shown_content(text: str, *, is_json: bool = True) -> tuple[Raw, bool]:
    """Return *text* as JSON value if it is a whole one, otherwise as a text, and whether it was cut."""
    if len(text) > CONTENT_CHARACTERS:
        return _cut(text), True
    if is_json:
        try:
            encoded = text.encode()
            msgspec.json.decode(encoded)
        except (*INVALID_ITEM, UnicodeEncodeError):
            pass
        else:
            return Raw(encoded), False
    return Raw(_encode(_valid(text))), False


def _cut(text: str) -> Raw:
    return Raw(_encode(_valid(text[:CONTENT_CHARACTERS])))


def _valid(text: str) -> str:
    """Return *text* without half surrogate pairs, which no UTF-8 has."""
    return text.encode(errors="replace").decode()


def item_of_row(row: Mapping[str, Any]) -> Track | Identify:
    """Return the item of a row of `events` or of `identifies`, in the columns of `search_sql`."""
    fields: dict[str, Any] = {
        "project_id": row["project_id"],
        "message_id": row["message_id"],
        "user_id": row["user_id"],
        "timestamp": row_time(row["timestamp"]),
        "received_at": row_time(row["received_at"]),
        "original_timestamp": row_time(row["original_timestamp"]) if row["original_timestamp"] else None,
        "sent_at": row_time(row["sent_at"]) if row["sent_at"] else None,
        "anonymous_id": row["anonymous_id"],
        "context": _object(row["shown_context"]),
        "integrations": _object(row["shown_integrations"]),
        "token_id": row["_token"],
        "warnings": tuple(ItemWarning(each["code"], each["field"], each["sent"]) for each in row["_warnings"]),
    }
    content = with_nulls(row["body"], row["null_keys"])
    if row["kind"] == "identify":
        return Identify(**fields, traits=content)
    return Track(**fields, event=row["event"], properties=content)


def of_row(row: Mapping[str, Any]) -> Item:
    """Return the accepted item of a row of `events` or of `identifies`."""
    item = item_of_row(row)
    place = (int(row["_partition"]), int(row["_origin"]))
    shown = of_item(item, "accepted", place, encode_item(item))
    if not row["is_cut"]:
        return shown
    return msgspec.structs.replace(shown, content=_cut(row["body"]), is_content_cut=True)


def of_duplicate_row(row: Mapping[str, Any]) -> Item:
    """Return the item of a row of `duplicates`."""
    content, _ = shown_content(row["body"], is_json=not row["is_cut"])
    return Item(
        received_at=row_time(row["received_at"]),
        project_id=row["project_id"],
        verdict="duplicate",
        type=row["kind"],
        event=row["event"] or None,
        user_id=row["user_id"],
        message_id=row["message_id"],
        warnings=_warnings_in(content),
        partition=int(row["_partition"]),
        offset=int(row["_origin"]),
        content=content,
        is_content_cut=bool(row["is_cut"]),
    )


def row_time(text: str) -> str:
    """Return a time of ClickHouse, in UTC, as records have it."""
    return f"{text.replace(' ', 'T')}Z"


def shown_warnings(warnings: Iterable[ItemWarning]) -> tuple[ShownWarning, ...]:
    """Return *warnings* as the API shows them."""
    return tuple(ShownWarning(each.code, each.field, each.sent) for each in warnings)


def _warnings_in(content: Raw) -> tuple[ShownWarning, ...]:
    try:
        return msgspec.json.decode(content, type=_WithWarnings).warnings
    except (*INVALID_ITEM, msgspec.ValidationError):
        return ()


class _WithWarnings(msgspec.Struct):
    warnings: tuple[ShownWarning, ...] = ()


def _object(text: str) -> Raw:
    """Return *text* as JSON; the empty object if it was cut."""
    try:
        msgspec.json.decode(text)
    except INVALID_ITEM:
        return Raw(b"{}")
    return Raw(text.encode())


def with_nulls(text: str, paths: Sequence[str]) -> Raw:
    """Return the object in *text*, the properties or traits of a row, with the null at each of *paths*.

    ClickHouse stores no nulls in objects. Paths into arrays are left out. The paths: `processors.sink.null_keys`.
    """
    found = _object(text)
    for path in paths:
        if "[]" not in path:
            found = _put_null(found, [part.replace("%2E", ".") for part in path.split(".")])
    return found


def _put_null(text: Raw, names: Sequence[str]) -> Raw:
    try:
        members = _members.decode(text)
    except INVALID_ITEM:
        return text  # No object: another row's path.
    name = names[0]
    if len(names) == 1:
        members.setdefault(name, _NULL)
    else:
        members[name] = _put_null(members.get(name, Raw(b"{}")), names[1:])
    return Raw(_encode(members))
