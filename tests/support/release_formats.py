"""What a release writes to topics and local state, for values that do not change: run by each of two releases.

`tests/unit/test_previous_release.py` compares. It imports what both releases have, and nothing of the tests.
"""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import msgspec

from processors.dedupe.decision import decide
from processors.sink.resume import Metadata, encode_metadata
from schemas import projects
from schemas.items import Identify, ItemWarning, Rejection, Track
from schemas.persons import encode_person, fold
from schemas.records import Record, identify_record, item_record, rejection_record

DAY_MS = 86_400_000
TIME = "2026-01-01T00:00:0{}.000000Z"


class Read(NamedTuple):
    """A record as a stage gets it."""

    offset: int
    key: bytes
    value: bytes
    timestamp: int
    headers: tuple[tuple[str, bytes], ...] = ()


def _track(message_id: str) -> Track:
    return Track(
        project_id="p",
        message_id=message_id,
        user_id="ü",
        timestamp=TIME.format(1),
        received_at=TIME.format(2),
        original_timestamp=TIME.format(0),
        sent_at=TIME.format(0),
        anonymous_id="a",
        context=msgspec.Raw(b'{"ip":"::1"}'),
        integrations=msgspec.Raw(b'{"All":true}'),
        warnings=(ItemWarning("timestamp_in_future", "timestamp", TIME.format(9)),),
        token_id="t",
        event="Order Completed",
        properties=msgspec.Raw(b'{"price":1.50,"tags":[null,"x"]}'),
    )


def _identify(message_id: str, second: int, traits: bytes) -> Identify:
    return Identify(
        project_id="p",
        message_id=message_id,
        user_id="ü",
        timestamp=TIME.format(second),
        received_at=TIME.format(5),
        traits=msgspec.Raw(traits),
    )


def _deduplicated() -> list[object]:
    """Return what dedupe writes for an event, an identify and a duplicate."""
    items = [item_record(_track("m1")), item_record(_identify("m2", 3, b'{"a":1}')), item_record(_track("m1"))]
    # The broker's clock and the gateway's agree.
    read = [Read(offset, item.key, item.value, 1_767_225_602_000) for offset, item in enumerate(items)]
    decision = decide(read, {record.key: None for record in read}, 7 * DAY_MS)
    return [decision.events, decision.entries, decision.duplicates]


def _persons() -> list[bytes]:
    first = fold(None, _identify("m1", 3, b'{"name":"Ada","plan":"free","age":36}'))
    return [encode_person(first), encode_person(fold(first, _identify("m2", 4, b'{"plan":"pro","age":null}')))]


def _projects() -> list[tuple[bytes, bytes]]:
    token = projects.TokenCreation("t", "p", "p_0", 1)
    return [
        projects.encode_entry(projects.ProjectCreation("p", "Shop", 1), "p", "0123456789abcdef"),
        projects.encode_entry(projects.Disabled(disabled=True), "p"),
        projects.encode_entry(projects.Rate(10.0), "p"),
        projects.encode_entry(projects.Burst(20.0), "p"),
        projects.encode_entry(token, "d" * 32, "0123456789abcdef"),
    ]


def formats() -> dict[str, str]:
    """Return the text of what this release writes, by name."""
    item = item_record(_track("m1"))
    rejection = Rejection(
        "p", "gateway", "too_long", "The field is too long.", TIME.format(3), "event", "m1", "r", token_id="t"
    )
    written: dict[str, object] = {
        "items.v1": [item, item_record(_identify("m2", 3, b'{"a":1}'))],
        "events.v1, seen and duplicates.v1": _deduplicated(),
        "identifies.v1": identify_record(_identify("m2", 3, b'{"a":1}'), b"{}", source_offset=7, partition=3),
        "persons.v1 and persons": _persons(),
        "rejected.v1": [rejection_record(rejection, content) for content in (b'{"a":1}', b"\xff")],
        "projects.v1": _projects(),
        "commits of the sink": encode_metadata(Metadata(1, {"events": 5, "identifies": 4}, "id")),
    }
    return {name: _text(value) for name, value in written.items()}


def _text(value: object) -> str:
    if isinstance(value, Record):
        value = (value.key, value.value, value.headers)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_text(each) for each in value)}]"
    return repr(value)


if __name__ == "__main__":
    json.dump(formats(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
