"""Why a request or an item is refused: every code once, with its sentence.

    RequestError            the whole request is refused
    ├── MalformedBodyError      it is not what the contract says a body is
    └── TooManyItemsError       it holds more items than the limit

An item that is refused is no exception but a `RejectedItem`: the others of its batch go on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import msgspec


class Code(StrEnum):
    """What a refusal is called on the wire; `sentence` says it to a person."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        """Make the member named *value*."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    # The whole body.
    INVALID_ENCODING = "invalid_encoding", "The body is not valid UTF-8."
    INVALID_JSON = "invalid_json", "The body is not JSON."
    NOT_AN_OBJECT = "not_an_object", "The body must be a JSON object."
    BATCH_REQUIRED = "batch_required", "The body must have a `batch`, an array of items."
    BATCH_NOT_AN_ARRAY = "batch_not_an_array", "`batch` must be an array of items."
    BATCH_EMPTY = "batch_empty", "`batch` must hold at least one item."
    TOO_MANY_ITEMS = "too_many_items", "The batch holds too many items."

    # An item; those about a value also stand for the fields beside `batch`.
    INVALID_ITEM = "invalid_item", "An item must be a JSON object."
    ITEM_TOO_LARGE = "item_too_large", "The item is too large."
    TOO_DEEP = "too_deep", "A value is nested too deep."
    INVALID_NUMBER = "invalid_number", "Numbers must be finite, and integers must fit 64 bits."
    INVALID_UNICODE = "invalid_unicode", "Text must not hold half of a surrogate pair."
    INVALID_CHARACTER = "invalid_character", "The field must not hold the character U+0000."
    INVALID_TYPE = "invalid_type", "The field has the wrong JSON type."
    TYPE_REQUIRED = "type_required", "`type` is required: `track` or `identify`."
    UNSUPPORTED_TYPE = "unsupported_type", "`type` must be `track` or `identify`."
    USER_ID_REQUIRED = "user_id_required", "`userId` is required and must not be blank."
    EVENT_REQUIRED = "event_required", "`event` is required for a track and must not be blank."
    BLANK = "blank", "The field must not be blank."
    TOO_LONG = "too_long", "The field is too long."
    INVALID_TIMESTAMP = "invalid_timestamp", "`timestamp` must be an ISO 8601 date or date-time, 1970 to 2261."


class RequestError(ValueError):
    """The request is refused as a whole; nothing of it is taken."""

    def __init__(self, code: Code, message: str = "") -> None:
        self.code = code
        self.message = message or code.sentence
        super().__init__(self.message)


class MalformedBodyError(RequestError):
    """The body is not what the contract says."""


class TooManyItemsError(RequestError):
    """The batch holds more items than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(Code.TOO_MANY_ITEMS, f"The batch holds more than {limit} items.")


class FaultError(ValueError):
    """A value breaks a rule. It never leaves `schemas`: it becomes a `RejectedItem`, or a `MalformedBodyError`."""

    def __init__(self, code: Code, message: str = "", field: str | None = None) -> None:
        self.code = code
        self.message = message or code.sentence
        self.field = field
        super().__init__(self.message)


class RejectedItem(msgspec.Struct, frozen=True, gc=False):
    """An item that is not taken."""

    index: int
    """Its place in the batch, from 0."""
    code: Code
    message: str
    field: str | None
    message_id: str | None
    """Its messageId, where it has one that is text."""
    content: bytes
    """The item's own JSON text, as it came."""
