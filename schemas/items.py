"""The item as accepted: what the gateway writes to `items.v1` and every later step reads.

Field names on the wire are Segment's (camelCase, https://segment.com/docs/connections/spec/). `properties`, `traits`,
`context` and `integrations` stay raw JSON bytes from the request to ClickHouse: no step between needs to look inside,
apart from the fold, which looks one level deep.

Times are text of one fixed form, `2026-01-31T23:59:59.123456Z`, so that comparing the text compares the times.
"""

from __future__ import annotations

import msgspec

MAX_ID_CHARACTERS = 255
"""Longest `userId`, `event` and `messageId`."""

EMPTY_OBJECT = msgspec.Raw(b"{}")


class Track(msgspec.Struct, frozen=True, tag="track", tag_field="type", rename="camel", omit_defaults=True, gc=False):
    """Somebody did something."""

    project_id: str
    message_id: str
    user_id: str
    event: str
    timestamp: str
    """When it happened, after clock correction."""
    received_at: str
    """When the gateway had read the request."""
    original_timestamp: str | None = None
    """The caller's own `timestamp`; None where it gave none."""
    sent_at: str | None = None
    anonymous_id: str | None = None
    properties: msgspec.Raw = EMPTY_OBJECT
    context: msgspec.Raw = EMPTY_OBJECT
    integrations: msgspec.Raw = EMPTY_OBJECT


class Identify(
    msgspec.Struct, frozen=True, tag="identify", tag_field="type", rename="camel", omit_defaults=True, gc=False
):
    """Somebody is like this. The fields that it shares with `Track` mean the same."""

    project_id: str
    message_id: str
    user_id: str
    timestamp: str
    received_at: str
    original_timestamp: str | None = None
    sent_at: str | None = None
    anonymous_id: str | None = None
    traits: msgspec.Raw = EMPTY_OBJECT
    context: msgspec.Raw = EMPTY_OBJECT
    integrations: msgspec.Raw = EMPTY_OBJECT


Item = Track | Identify


class Rejection(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What could not be taken, with its reason and its full content: the value of a record on `rejected.v1`."""

    project_id: str
    stage: str
    """Who refused it: `gateway`, `dedupe`, `persons` or `sink`."""
    code: str
    message: str
    rejected_at: str
    field: str | None = None
    message_id: str | None = None
    content: str | None = None
    """The item's own JSON text, as it came."""
    content_base64: str | None = None
    """In place of `content` where the bytes are not UTF-8, or nearly all control codes."""
    truncated: bool = False
    """The content was longer than `REJECTED_CONTENT_LIMIT_BYTES` and is cut there."""
