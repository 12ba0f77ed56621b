"""Which ID a request has."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from gateway.http.request_id import new_request_id, request_id_of


@pytest.mark.parametrize("given", ["a", "x" * 128, "01J9-_.~!", "Root=1-67891233-abcdef012345678912345678", '"<>\\'])
def test_id_of_the_sender_is_kept(given: str) -> None:
    assert request_id_of(CIMultiDict({"x-request-id": given})) == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "tab\there", "bell\x07", "é", "\udcff", "\x7f"])
def test_other_id_is_replaced(given: str) -> None:
    made = request_id_of(CIMultiDict({"X-Request-Id": given}))

    assert made != given
    assert request_id_of(CIMultiDict({"X-Request-Id": made})) == made


def test_every_new_id_differs() -> None:
    assert len({new_request_id() for _ in range(1000)} | {request_id_of(CIMultiDict()) for _ in range(1000)}) == 2000
