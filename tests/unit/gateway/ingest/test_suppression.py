"""Suppressed users: what of their items a batch has, and what is left of a rejection."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.rejections import Code
from gateway.ingest.suppression import without_suppressed
from gateway.ingest.validate import BatchResult
from schemas.erasure import user_digest
from schemas.user_ids import user_ids_in
from tests.unit.gateway.ingest.checking import changed, check_batch

KEY = b"a key of 32 bytes, as they are.."
ADA = frozenset({user_digest(KEY, "ada")})


def suppressed(*items: str) -> BatchResult:
    return without_suppressed(check_batch(*items), ADA, KEY)


def test_item_of_a_suppressed_user_is_rejected_with_its_code_alone() -> None:
    found = suppressed(changed(userId="ada"), changed(userId="bob"), changed(userId="ada", type="identify"))

    assert [item.user_id for item in found.accepted] == ["bob"]
    assert list(found.accepted_indexes) == [1]
    assert [(item.index, item.code) for item in found.rejected] == [(0, Code.SUPPRESSED), (2, Code.SUPPRESSED)]
    for item in found.rejected:
        assert (item.content, item.message_id, item.field, item.message) == (b"", None, None, Code.SUPPRESSED.message)


@pytest.mark.parametrize(
    "item",
    [
        changed(userId="ada", event=""),
        changed(userId="ada", type="page"),
        changed(userId="\\u0061da", event="").replace("\\\\", "\\"),
        json.dumps(changed(userId="ada")),
        '["ada", {"userId": "ada"}]',
        changed(userId="ada", messageId="x" * 300),
    ],
)
def test_broken_item_of_a_suppressed_user_leaves_no_content(item: str) -> None:
    [rejected] = suppressed(item).rejected
    assert (rejected.code, rejected.content) == (Code.SUPPRESSED, b"")

    [control] = without_suppressed(check_batch(item), frozenset({user_digest(KEY, "bob")}), KEY).rejected
    assert control.code is not Code.SUPPRESSED
    assert b"da" in control.content


def test_digest_of_another_key_suppresses_nobody() -> None:
    assert len(without_suppressed(check_batch(changed(userId="ada")), ADA, b"another key").accepted) == 1


@given(st.lists(st.sampled_from(["ada", "bob", "eve", ""]), min_size=1, max_size=8))
def test_every_item_is_accepted_or_rejected_at_its_index(users: list[str]) -> None:
    items = [changed(userId=user, messageId=f"m{index}") for index, user in enumerate(users)]
    before, after = check_batch(*items), suppressed(*items)

    assert sorted([*after.accepted_indexes, *(item.index for item in after.rejected)]) == list(range(len(users)))
    assert [item.index for item in after.rejected] == sorted(item.index for item in after.rejected)
    assert [item for item in before.accepted if item.user_id != "ada"] == after.accepted


@pytest.mark.parametrize(
    ("content", "users"),
    [
        (b'{"userId":"ada","x":1}', {"ada"}),
        (b"{'userId': 'ada'}", {"ada"}),
        (b'"{\\"userId\\":\\"ada\\"}"', {"ada"}),
        (b'{"userId": 42, ', {"42"}),
        (b'{"userId":"a\\u0041\\"b\\n\\ud83d\\ude00"', {'aA"b\n😀'}),
        (b'{"user_id":"x"} "userID":"no"', {"x"}),
        (b'{"userId":"\xc3\xa4"', {"ä"}),
        (b'{"userId":"bad\\x"}', {"bad\\x"}),
        (b'{"userId":null}', set()),
        (b'{"a":"userId: nobody"}', set()),
    ],
)
def test_user_ids_are_found_in_content_of_any_form(content: bytes, users: set[str]) -> None:
    assert user_ids_in(content) == users
