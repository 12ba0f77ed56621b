"""Short ways to check a request, for the tests of its rules."""

from __future__ import annotations

import json
from typing import Any

from gateway.ingest.envelope import DEFAULT_LIMITS, Limits, read_request
from gateway.ingest.rejections import RejectedItem
from gateway.ingest.rules import ItemType
from gateway.ingest.validate import BatchResult, check_items
from schemas.items import Item
from schemas.times import parse_time

NOON = parse_time("2026-01-31T12:00:00Z")
NOON_TEXT = "2026-01-31T12:00:00.000000Z"
GOOD = '{"type":"track","userId":"u","event":"e","messageId":"m"}'


def check(body: str | bytes, *, item_type: ItemType | None = None, limits: Limits = DEFAULT_LIMITS) -> BatchResult:
    raw = body.encode() if isinstance(body, str) else body
    request = read_request(raw, item_type=item_type, limits=limits)
    return check_items(request, project_id="p", received_at=NOON, limits=limits)


def check_batch(*items: str, **beside: object) -> BatchResult:
    members = [f'"batch":[{",".join(items)}]', *(f'"{name}":{json.dumps(value)}' for name, value in beside.items())]
    return check(f"{{{','.join(members)}}}")


def accepted(verdicts: BatchResult) -> Item:
    assert not verdicts.refused, verdicts.refused
    [(_, item)] = verdicts.accepted
    return item


def refused(verdicts: BatchResult) -> RejectedItem:
    assert not verdicts.accepted, verdicts.accepted
    [refusal] = verdicts.refused
    return refusal


def changed(**fields: Any) -> str:
    """Text of the good item with *fields* set; `...` takes one away."""
    item = {name: value for name, value in (json.loads(GOOD) | fields).items() if value is not ...}
    return json.dumps(item)


def raw(name: str, value: str) -> str:
    """Text of the good item with a member that is written as it is."""
    return f'{GOOD[:-1]},"{name}":{value}}}'
