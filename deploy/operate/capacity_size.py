"""The size of what is made of an event: a record, a row, a person. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ENVELOPE_BYTES = 150
"""Bytes of an event besides its properties: messageId, userId, time and the name of the event."""
NAME_BYTES = 20
"""Bytes of a property with a short value. What an event has beyond its names and these is text."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes, as a sum of a fixed part, and of parts for the bytes, properties and text of the event."""

    fixed: float
    per_byte: float = 0.0
    per_name: float = 0.0
    per_text_byte: float = 0.0

    def of(self, event_bytes: float, names: float) -> float:
        """Return the bytes for an event of *event_bytes* bytes with *names* properties."""
        text = text_bytes(event_bytes, names)
        return self.fixed + self.per_byte * event_bytes + self.per_name * names + self.per_text_byte * text


def text_bytes(event_bytes: float, names: float) -> float:
    """Return the bytes of text of an event: those beyond short values."""
    return max(0.0, event_bytes - ENVELOPE_BYTES - NAME_BYTES * names)
