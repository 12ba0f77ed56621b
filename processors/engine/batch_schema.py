"""Faust's schema of the stages: an event's value is the `RecordBatch` as it was fetched."""

from __future__ import annotations

from typing import Any

from faust import Schema


class BatchSchema(Schema[Any, Any]):
    """Passes a batch through without decoding."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return the function that turns a message into an event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001  # Faust's signature
            return create_event(None, message.value, message.headers, message)

        return decode
