"""The accepted item: the value of a record on `items.v1` and `events.v1`.

Field names on the wire are Segment's (camelCase, https://segment.com/docs/connections/spec/). `properties`, `traits`,
`context` and `integrations` stay raw JSON bytes from the request to ClickHouse. Only the fold of persons decodes
`traits`, one level deep.

Times are text of one fixed form, `2026-01-31T23:59:59.123456Z`, so comparing the text compares the times.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

MAX_ID_CHARACTERS = 255
"""Longest `userId`, `event` and `messageId`."""

EMPTY_OBJECT = msgspec.Raw(b"{}")


class WarningCode(StrEnum):
    """What the gateway changed in an item, or noticed; `docs/http.md` explains each."""

    NUMBER_AS_ID = "number_as_id"
    EMPTY_ARRAY_AS_OBJECT = "empty_array_as_object"
    TIMESTAMP_REFORMATTED = "timestamp_reformatted"
    TIMESTAMP_REPLACED = "timestamp_replaced"
    SENT_AT_IGNORED = "sent_at_ignored"
    FIELD_IGNORED = "field_ignored"
    NUMBER_AS_TEXT = "number_as_text"
    NOT_A_NUMBER = "not_a_number"
    INVALID_UNICODE = "invalid_unicode"
    SUSPICIOUS_USER_ID = "suspicious_user_id"


class ItemWarning(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A repair of an accepted item."""

    code: str
    """One of `WarningCode`, or of a later version."""
    field: str
    """Name of the field, or the path of a value in it, such as `properties.lines[2].price`."""
    sent: str = ""
    """A time as sent, at most 128 characters; of codes about times only."""


class ItemFields(msgspec.Struct, frozen=True, tag_field="type", rename="camel", omit_defaults=True, gc=False):
    """The fields of every item, in the order in which they are encoded; those of each type follow."""

    project_id: str
    message_id: str
    user_id: str
    timestamp: str
    """When it happened, after clock correction."""
    received_at: str
    """When the gateway had read the request."""
    original_timestamp: str | None = None
    """The caller's own `timestamp`; None if it sent none."""
    sent_at: str | None = None
    anonymous_id: str | None = None
    context: msgspec.Raw = EMPTY_OBJECT
    integrations: msgspec.Raw = EMPTY_OBJECT
    warnings: tuple[ItemWarning, ...] = ()
    """What the gateway changed in the item."""
    token_id: str = ""
    """ID of the token that sent it, as `sequence token list` shows it; of items since version 0.1.0."""


class Track(ItemFields, frozen=True, kw_only=True, tag="track", gc=False):
    """An event: a user did something."""

    event: str
    properties: msgspec.Raw = EMPTY_OBJECT


class Identify(ItemFields, frozen=True, kw_only=True, tag="identify", gc=False):
    """Traits of a user, valid from `timestamp`."""

    traits: msgspec.Raw = EMPTY_OBJECT


Item = Track | Identify


class Rejection(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A rejected item or record, with its reason and content: the value of a record on `rejected.v1`."""

    project_id: str
    stage: str
    """What rejected it: `gateway`, `dedupe`, `persons` or `sink`."""
    code: str
    message: str
    rejected_at: str
    field: str | None = None
    """The field at fault, or the column of a row."""
    message_id: str | None = None
    request_id: str | None = None
    """The request's `X-Request-Id`; of rejections by the gateway only."""
    table: str | None = None
    """The table whose row ClickHouse did not take; of rows only."""
    source_topic: str | None = None
    """What was rejected, by a worker only: `items.v1` with the item's partition and source offset, or the topic of the
    record itself, without its prefix, if no source offset is known."""
    source_partition: int | None = None
    source_offset: int | None = None
    content: str | None = None
    """The JSON text as received."""
    content_base64: str | None = None
    """Replaces `content` if the bytes are not UTF-8 or are nearly all control characters."""
    truncated: bool = False
    """The content was longer than `REJECTED_CONTENT_LIMIT_BYTES` and is cut there."""
    token_id: str | None = None
    """ID of the token that sent it; of rejections by the gateway only."""
