"""The search of `persons.v1`: which records of erased users count."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from processors.erasures.kafka import Left, PersonSearch
from processors.erasures.store import Owned
from tests.fakes.erasures import HASH_KEY, PROJECT, MemoryDecisions

ERASURE = MemoryDecisions().erase("e", "ada")


def left(key: bytes | None, value: bytes | None) -> Left:
    search = PersonSearch([Owned("e", PROJECT, HASH_KEY, ERASURE)])
    search.add([SimpleNamespace(key=key, value=value)])
    return search.found().get("e", Left())


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        (b"shop/ada", b'{"traits":{}}', Left(states=1)),
        (b"shop/ada", b'{"erased":%d}' % (ERASURE.requested_at - 1), Left(states=1)),
        (b"shop/ada", b'{"erased":%d}' % ERASURE.requested_at, Left()),
        (b"shop/ada", b"no JSON", Left(states=1)),
        (b"shop/ada", None, Left(tombstones=1)),
        (b"shop/bob", b"{}", Left()),
        (b"other/ada", b"{}", Left()),
        (None, b"{}", Left()),
        (b"\xff", None, Left()),
    ],
)
def test_states_from_before_and_tombstones_of_the_users_count(
    key: bytes | None, value: bytes | None, found: Left
) -> None:
    assert left(key, value) == found
