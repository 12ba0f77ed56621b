"""Why a body or an item is rejected: every code once, with its default message.

A rejected item is a value, `RejectedItem`, so that the other items of its batch are still accepted. A rejected body is
an exception, `gateway.errors.MalformedBodyError`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import msgspec


class Code(StrEnum):
    """Error code of a body or an item; `message` explains it where no more specific message exists."""

    message: str

    def __new__(cls, value: str, message: str) -> Self:
        """Create the member *value* with its default *message*."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    # The body.
    INVALID_ENCODING = "invalid_encoding", "The body is not valid UTF-8."
    INVALID_JSON = "invalid_json", "The body is not valid JSON."
    NOT_AN_OBJECT = "not_an_object", "The body must be a JSON object."
    BATCH_REQUIRED = "batch_required", "`batch` is missing. A single item goes to `/v1/track` or `/v1/identify`."
    BATCH_NOT_AN_ARRAY = "batch_not_an_array", "`batch` must be an array of items."
    BATCH_EMPTY = "batch_empty", "`batch` is empty."
    TOO_MANY_ITEMS = "too_many_items", "The batch has too many items."
    TOO_COMPLEX = "too_complex", "The body is not strict JSON and has too many members. Send strict JSON."

    # An item. Those about a value apply to the fields beside `batch` as well.
    INVALID_ITEM = "invalid_item", "An item must be a JSON object."
    ITEM_TOO_LARGE = "item_too_large", "The item is too large."
    TOO_DEEP = "too_deep", "A value is nested too deeply."
    INVALID_UNICODE = "invalid_unicode", "Strings must not contain unpaired UTF-16 surrogates (for example `\\ud800`)."
    INVALID_CHARACTER = "invalid_character", "The field must not contain the character U+0000."
    INVALID_TYPE = "invalid_type", "The field has the wrong JSON type."
    TYPE_REQUIRED = "type_required", "`type` is required. Use `track` or `identify`."
    UNSUPPORTED_TYPE = "unsupported_type", "Items of this `type` are not stored. Use `track` or `identify`."
    UNKNOWN_TYPE = "unknown_type", "`type` must be `track` or `identify`, in lower case."
    USER_ID_REQUIRED = "user_id_required", "`userId` is required and must not be blank."
    EVENT_REQUIRED = "event_required", "`event` is required for `track` and must not be blank."
    BLANK = "blank", "The field must not be blank."
    TOO_LONG = "too_long", "The field is too long."
    SUPPRESSED = "suppressed", "Items of this user are not stored."


class ValidationError(ValueError):
    """A value breaks a rule. `gateway.ingest` turns it into a `RejectedItem` or a `MalformedBodyError`."""

    def __init__(self, code: Code, message: str = "", field: str | None = None) -> None:
        self.code = code
        self.message = message or code.message
        self.field = field
        super().__init__(self.message)


class RejectedItem(msgspec.Struct, frozen=True, gc=False):
    """An item that breaks a rule, with everything that its record on `rejected.v1` needs."""

    index: int
    """Index in the batch, from 0."""
    code: Code
    message: str
    field: str | None
    message_id: str | None
    """The item's `messageId` if it is valid text."""
    content: bytes
    """The item's JSON text as received."""
