"""What the test service answers for records of Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.console.test_service_items import Wanted, accepted, rejected
from deploy.console.test_service_log import MOST_BYTES, MOST_ITEMS, _Kept, _start
from schemas.items import Identify, Rejection, Track
from schemas.records import encode_item, item_key, rejection_record

ALL = Wanted()


@dataclass
class Record:
    offset: int
    key: bytes
    value: bytes | None
    partition: int = 0
    topic: str = "items"
    headers: tuple[Any, ...] = field(default=())
    timestamp: int = 0


def track(message_id: str, *, event: str = "Signed Up", user: str = "ada", second: int = 0) -> Track:
    at = f"2026-01-01T00:00:{second:02}.000000Z"
    return Track("dev", message_id, user, at, at, event=event)


def record(item: Track | Identify, offset: int, partition: int = 0) -> Record:
    return Record(offset, item_key(item.project_id, item.message_id), encode_item(item), partition)


def rejection(offset: int, content: bytes, code: str = "event_required", second: int = 0) -> Record:
    at = f"2026-01-01T00:00:{second:02}.000000Z"
    made = rejection_record(Rejection("dev", "gateway", code, "Why.", at, "event", None, "r-1"), content)
    return Record(offset, made.key, made.value)


def ids(records: list[Record], wanted: Wanted = ALL) -> list[str | None]:
    return [item.message_id for item in accepted(records, wanted)[0]]


def test_items_have_the_order_of_their_timestamps() -> None:
    records = [
        record(track("c", second=3), 0, 1),
        record(track("a", second=1), 5, 0),
        record(track("b", second=2), 0, 2),
    ]

    assert ids(records) == ["a", "b", "c"]


def test_repeated_message_id_is_counted_and_its_first_item_shown() -> None:
    records = [record(track("a", event="Second"), 1), record(track("a", event="First"), 0), record(track("b"), 2)]

    items, duplicates = accepted(records, ALL)

    assert ([item.event for item in items], duplicates) == (["First", "Signed Up"], 1)
    assert accepted(records, Wanted(event="Second")) == ([], 1)
    assert accepted(records, Wanted(event="Signed Up"))[1] == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(event="Signed Up"), ["a", "b"]),
        (Wanted(user_id="bob"), ["b"]),
        (Wanted(type="identify"), ["i"]),
        (Wanted(event="Signed Up", user_id="ada"), ["a"]),
        (Wanted(event="signed up"), []),
    ],
)
def test_every_parameter_narrows(wanted: Wanted, expected: list[str]) -> None:
    at = "2026-01-01T00:00:09.000000Z"
    records = [record(track("a"), 0), record(track("b", user="bob"), 1), record(Identify("dev", "i", "ada", at, at), 2)]

    assert ids(records, wanted) == expected


def test_record_that_is_no_item_is_left_out() -> None:
    assert ids([Record(0, b"dev/x", b"{"), Record(1, b"dev/y", None), record(track("a"), 2)]) == ["a"]


def test_rejected_items_have_their_code_and_content_in_the_order_of_receipt() -> None:
    records = [
        rejection(0, b'{"type":"track","userId":"bob"}', second=2),
        rejection(1, b'{"type":"track","userId":"ada"}', second=1),
        rejection(2, b"[]", code="item_not_object", second=3),
    ]

    assert [(item.user_id, item.code) for item in rejected(records, ALL)] == [
        ("ada", "event_required"),
        ("bob", "event_required"),
        (None, "item_not_object"),
    ]
    assert [bytes(item.content) for item in rejected(records, Wanted(code="item_not_object"))] == [b"[]"]
    assert [item.user_id for item in rejected(records, Wanted(user_id="bob"))] == ["bob"]


def test_records_of_another_project_and_behind_the_end_are_not_kept() -> None:
    kept = _Kept(b"dev/", {("items", 0): 2})

    found = [kept(Record(at, key, b"{}")) for at, key in enumerate([b"dev/a", b"dev2/b", b"dev/c"])]

    assert (found, kept.count) == ([True, False, False], 1)


@pytest.mark.parametrize(("count", "size"), [(MOST_ITEMS + 1, 1), (2, MOST_BYTES)])
def test_no_more_is_kept_than_a_reply_may_have(count: int, size: int) -> None:
    kept = _Kept(b"dev/", {("items", 0): count})
    one = Record(0, b"dev/a", b"x" * size)

    found = [kept(one) for _ in range(count)]

    assert found == [True] * (count - 1) + [False]
    assert kept.is_over


@pytest.mark.parametrize(
    ("at", "expected"), [(5, 5), (2, 3), (9, 9), (10, 3)], ids=["inside", "removed", "the end", "topic created anew"]
)
def test_read_begins_at_the_reset_if_the_log_still_has_it(at: int, expected: int) -> None:
    assert _start(at, 3, 9) == expected
