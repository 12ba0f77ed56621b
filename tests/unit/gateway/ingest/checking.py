"""Helpers that validate a request and its items, for the tests of the rules."""

from __future__ import annotations

import json
from typing import Any

from gateway.ingest.envelope import DEFAULT_LIMITS, Limits, parse_envelope
from gateway.ingest.rejections import RejectedItem
from gateway.ingest.rules import PathType
from gateway.ingest.validate import BatchResult, validate_items
from schemas.items import Item
from schemas.times import parse_time

NOON = parse_time("2026-01-31T12:00:00Z")
NOON_TEXT = "2026-01-31T12:00:00.000000Z"
VALID = '{"type":"track","userId":"u","event":"e","messageId":"m"}'


def check(body: str | bytes, *, item_type: PathType | None = None, limits: Limits = DEFAULT_LIMITS) -> BatchResult:
    raw = body.encode() if isinstance(body, str) else body
    envelope = parse_envelope(raw, item_type=item_type, limits=limits)
    return validate_items(envelope, project_id="p", received_at=NOON, limits=limits)


def check_batch(*items: str, **beside: object) -> BatchResult:
    members = [f'"batch":[{",".join(items)}]', *(f'"{name}":{json.dumps(value)}' for name, value in beside.items())]
    return check(f"{{{','.join(members)}}}")


def accepted(result: BatchResult) -> Item:
    """Return the only item of *result*, which must be accepted."""
    assert not result.rejected, result.rejected
    [item] = result.accepted
    return item


def rejected(result: BatchResult) -> RejectedItem:
    """Return the only item of *result*, which must be rejected."""
    assert not result.accepted, result.accepted
    [item] = result.rejected
    return item


def changed(**fields: Any) -> str:
    """Return the text of the valid item with *fields* set; `...` removes a field."""
    item = {name: value for name, value in (json.loads(VALID) | fields).items() if value is not ...}
    return json.dumps(item)


def raw(name: str, value: str) -> str:
    """Return the text of the valid item with the member *name*, whose *value* is JSON text."""
    return f'{VALID[:-1]},"{name}":{value}}}'
