"""Memory that requests without a token in their headers hold together."""

from __future__ import annotations

import pytest

from gateway.errors import OverloadedError
from gateway.http.sender_budget import SenderBudget

REQUEST = SenderBudget.REQUEST_BYTES


def test_oldest_request_that_receives_gives_way_to_a_new_one() -> None:
    budget, ended = SenderBudget(3 * REQUEST), list[str]()
    for name in ("first", "second", "third"):
        budget.open().on_give_way = lambda name=name: ended.append(name)  # type: ignore[misc]

    budget.open()
    budget.open().reserve(0)

    assert ended == ["first", "second"]
    assert budget.reserved_bytes == 3 * REQUEST


def test_request_that_gave_way_holds_nothing_and_cannot_reserve() -> None:
    budget = SenderBudget(REQUEST)
    old = budget.open()
    new = budget.open()

    with pytest.raises(OverloadedError):
        old.reserve(1)
    old.release()
    assert budget.reserved_bytes == REQUEST

    new.release()
    assert budget.reserved_bytes == 0


def test_request_with_a_complete_body_stays_and_the_new_one_is_refused() -> None:
    budget = SenderBudget(2 * REQUEST)
    for _ in range(2):
        budget.open().received()

    with pytest.raises(OverloadedError):
        budget.open()

    assert budget.reserved_bytes == 2 * REQUEST


def test_body_larger_than_what_others_can_give_is_refused() -> None:
    budget = SenderBudget(2 * REQUEST)
    budget.open().received()
    large = budget.open()

    with pytest.raises(OverloadedError):
        large.reserve(REQUEST)
    large.release()

    assert budget.reserved_bytes == REQUEST
