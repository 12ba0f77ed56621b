"""Records as a consumer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from schemas.items import Identify, Track
from schemas.records import encode_item, event_headers, item_key


@dataclass(frozen=True, slots=True)
class SlimRecord:
    """A record with the shape of `processors.engine.stage.SourceRecord`."""

    offset: int
    key: bytes | None = None
    value: bytes | None = None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


def track(
    message_id: str,
    *,
    user_id: str = "u",
    event: str = "Clicked",
    properties: bytes = b"{}",
    project_id: str = "p",
) -> Track:
    """Return a track event."""
    return Track(
        project_id=project_id,
        message_id=message_id,
        user_id=user_id,
        event=event,
        timestamp="2026-01-01T00:00:00.000000Z",
        received_at="2026-01-01T00:00:01.000000Z",
        properties=msgspec.Raw(properties),
    )


def identify(
    message_id: str,
    *,
    user_id: str = "u",
    traits: bytes = b"{}",
    timestamp: str = "2026-01-01T00:00:00.000000Z",
    project_id: str = "p",
) -> Identify:
    """Return an identify event."""
    return Identify(
        project_id=project_id,
        message_id=message_id,
        user_id=user_id,
        timestamp=timestamp,
        received_at="2026-01-01T00:00:01.000000Z",
        traits=msgspec.Raw(traits),
    )


def item_read(offset: int, item: Track | Identify, *, timestamp: int = 0) -> SlimRecord:
    """Return *item* as read from `items.v1`."""
    return SlimRecord(offset, item_key(item.project_id, item.message_id), encode_item(item), timestamp)


def event_read(offset: int, item: Track | Identify, *, source_offset: int, timestamp: int = 0) -> SlimRecord:
    """Return *item* as read from `events.v1`."""
    headers = event_headers(item.message_id.encode(), source_offset)
    return SlimRecord(offset, item_key(item.project_id, item.message_id), encode_item(item), timestamp, headers)
