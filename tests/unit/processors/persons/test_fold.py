"""The fold of batches of identifies: the same for any order, division and repetition."""

from __future__ import annotations

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processors.persons.fold import Folded, fold_batch
from schemas.items import Identify
from schemas.persons import PERSON_LIMIT_BYTES, Person, decode_person, encode_person, fold, growth_limit
from tests.support.records import identify

KEYS = [b"p/ann", b"p/bob"]
times = st.sampled_from([f"2026-01-0{day}T00:00:00.000000Z" for day in range(1, 5)])
traits = st.sampled_from([b'{"name":"a"}', b'{"name":null}', b'{"name":"b","age":3}', b"{}"])


def keyed(number: int, key: bytes, time: str, content: bytes) -> tuple[bytes, Identify]:
    return key, identify(f"m{number}", user_id=key[2:].decode(), timestamp=time, traits=content)


def fold_in_batches(identifies: list[tuple[bytes, Identify]], size: int) -> dict[bytes, bytes]:
    """Fold in batches of *size*, each on the state that the previous one has written."""
    written: dict[bytes, bytes] = {}
    for start in range(0, len(identifies), size):
        persons: dict[bytes, Person | None] = {
            key: decode_person(written[key]) if key in written else None for key in KEYS
        }
        written |= fold_batch(identifies[start : start + size], persons).changed
    return written


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), times, traits), max_size=12),
    st.randoms(use_true_random=False),
    st.integers(1, 12),
)
def test_person_is_independent_of_order_batches_and_repetition(
    arrivals: list[tuple[bytes, str, bytes]], chance: Random, size: int
) -> None:
    identifies = [keyed(number, *arrival) for number, arrival in enumerate(arrivals)]
    shuffled = identifies + [identifies[chance.randrange(len(identifies))] for _ in identifies]
    chance.shuffle(shuffled)
    assert fold_in_batches(shuffled, size) == fold_in_batches(identifies, len(identifies) or 1)


def test_repeated_identify_changes_no_person() -> None:
    one = keyed(0, KEYS[0], "2026-01-01T00:00:00.000000Z", b'{"name":"a"}')
    first = fold_batch([one], {KEYS[0]: None}).changed[KEYS[0]]
    assert fold_batch([one], {KEYS[0]: decode_person(first)}) == Folded({}, [])


def test_identify_that_exceeds_the_size_limit_is_rejected() -> None:
    small = keyed(0, KEYS[0], "2026-01-01T00:00:00.000000Z", b'{"name":"a"}')
    large = keyed(1, KEYS[0], "2026-01-02T00:00:00.000000Z", b'{"text":"%s"}' % (b"x" * PERSON_LIMIT_BYTES))
    after = keyed(2, KEYS[0], "2026-01-03T00:00:00.000000Z", b'{"age":4}')
    folded = fold_batch([small, large, after], {KEYS[0]: None})
    assert decode_person(folded.changed[KEYS[0]]).traits.keys() == {"name", "age"}
    assert [(each.identify.message_id, each.code) for each in folded.rejected] == [("m1", "person_too_large")]


@given(
    st.lists(
        st.tuples(times, st.dictionaries(st.text(max_size=4), st.text(max_size=6) | st.none(), max_size=4)), max_size=8
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)
def test_growth_limit_bounds_the_growth_of_a_person(
    arrivals: list[tuple[str, dict[str, str | None]]], message_id: str
) -> None:
    person: Person | None = None
    for time, content in arrivals:
        one = identify(message_id, timestamp=time, traits=msgspec.json.encode(content))
        after = fold(person, one)
        if person is not None:
            assert len(encode_person(after)) <= len(encode_person(person)) + growth_limit(one)
        person = after


def test_person_that_changes_often_in_a_batch_is_written_once() -> None:
    many = [
        keyed(number, KEYS[0], f"2026-01-01T00:00:{number:02d}.000000Z", b'{"n":%d,"t%d":1}' % (number, number % 7))
        for number in range(60)
    ]
    assert fold_in_batches(many, 60) == fold_in_batches(many, 1)


def test_size_limit_is_exact_within_a_batch() -> None:
    steps = [
        keyed(number, KEYS[0], f"2026-01-01T00:00:{number:02d}.000000Z", b'{"t%d":"%s"}' % (number, b"x" * 20_000))
        for number in range(20)
    ]
    together, apart = fold_batch(steps, {KEYS[0]: None}), fold_in_batches(steps, 1)
    assert together.changed == apart
    assert len(apart[KEYS[0]]) <= PERSON_LIMIT_BYTES < len(apart[KEYS[0]]) + 21_000
    assert {each.code for each in together.rejected} == {"person_too_large"}


def test_traits_that_are_no_object_are_rejected_and_the_others_folded() -> None:
    bad = keyed(0, KEYS[0], "2026-01-01T00:00:00.000000Z", b"[1]")
    good = keyed(1, KEYS[0], "2026-01-01T00:00:00.000000Z", b'{"name":"a"}')
    folded = fold_batch([bad, good], {KEYS[0]: None})
    assert [each.code for each in folded.rejected] == ["not_an_item"]
    assert KEYS[0] in folded.changed
