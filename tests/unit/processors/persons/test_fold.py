"""The fold of batches of identifies: the same for any order, division and repetition."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.persons.fold import PART_BYTES, READ_TOGETHER, Folded, fold_batch, in_parts
from schemas.items import Identify
from schemas.persons import PERSON_LIMIT_BYTES, decode_person
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
        written |= fold_batch(identifies[start : start + size], {key: written.get(key) for key in KEYS}).changed
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
    assert fold_batch([one], {KEYS[0]: first}) == Folded({}, [], 1)


def test_identify_that_exceeds_the_size_limit_is_rejected() -> None:
    small = keyed(0, KEYS[0], "2026-01-01T00:00:00.000000Z", b'{"name":"a"}')
    large = keyed(1, KEYS[0], "2026-01-02T00:00:00.000000Z", b'{"text":"%s"}' % (b"x" * PERSON_LIMIT_BYTES))
    after = keyed(2, KEYS[0], "2026-01-03T00:00:00.000000Z", b'{"age":4}')
    folded = fold_batch([small, large, after], {KEYS[0]: None})
    assert decode_person(folded.changed[KEYS[0]]).traits.keys() == {"name", "age"}
    assert [(each.identify.message_id, each.code) for each in folded.rejected] == [("m1", "person_too_large")]


def test_person_that_changes_often_in_a_batch_is_written_once() -> None:
    many = [
        keyed(number, KEYS[0], f"2026-01-01T00:00:{number:02d}.000000Z", b'{"n":%d,"t%d":1}' % (number, number % 7))
        for number in range(60)
    ]
    assert fold_in_batches(many, 60) == fold_in_batches(many, 1)


def test_size_limit_is_the_same_for_every_division_into_batches() -> None:
    steps = [
        keyed(number, KEYS[0], f"2026-01-01T00:00:{number:02d}.000000Z", b'{"t%d":"%s"}' % (number, b"x" * 60_000))
        for number in range(20)
    ]
    together, apart = fold_batch(steps, {KEYS[0]: None}), fold_in_batches(steps, 1)
    assert together.changed == apart
    assert len(apart[KEYS[0]]) <= PERSON_LIMIT_BYTES < len(apart[KEYS[0]]) + 61_000
    assert {each.code for each in together.rejected} == {"person_too_large"}


def one_trait_each(count: int, message_id: str, value: bytes = b'"0123456789"') -> list[tuple[bytes, Identify]]:
    """Return identifies of one person that each set a trait of their own; `{}` in *message_id* makes it unique."""
    return [
        (
            KEYS[0],
            identify(
                message_id.format(f"{number:012d}"),
                user_id="ann",
                timestamp=f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number:06d}Z",
                traits=b'{"trait_%04d":%s}' % (number, value),
            ),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "message_id",
    [
        "4f7c2d1e-8a3b-4c5d-9e6f-{}",
        "ajs-next-1700000000000-4f7c2d1e-8a3b-4c5d-9e6f-{}",
        "x" * 243 + "{}",
        "\x01" * 243 + "{}",
    ],
    ids=["UUID", "SDK", "255 characters", "255 characters that JSON escapes"],
)
def test_person_holds_5000_traits_of_as_many_identifies(message_id: str) -> None:
    written = fold_in_batches(one_trait_each(5000, message_id), 2000)
    assert len(decode_person(written[KEYS[0]]).traits) == 5000


def test_person_at_its_limit_takes_traits_again_after_some_are_removed() -> None:
    full = fold_batch(one_trait_each(20_000, "4f7c2d1e-8a3b-4c5d-9e6f-{}"), {KEYS[0]: None})
    assert full.rejected
    before = full.changed[KEYS[0]]
    held = len(decode_person(before).traits)
    removals = one_trait_each(held, "r-{}", b"null")
    later = [
        (key, msgspec.structs.replace(each, timestamp=each.timestamp.replace("2026-01-01", "2026-01-02")))
        for key, each in removals
    ]
    cleared = fold_batch(later, {KEYS[0]: before})
    assert not cleared.rejected
    assert len(cleared.changed[KEYS[0]]) < len(before) / 2
    again = [
        keyed(number, KEYS[0], "2026-01-03T00:00:00.000000Z", b'{"new_%04d":"0123456789"}' % number)
        for number in range(4000)
    ]
    assert fold_batch(again, {KEYS[0]: cleared.changed[KEYS[0]]}).rejected == []


def test_trait_can_be_removed_at_the_limit_although_its_tombstone_is_longer() -> None:
    many = keyed(0, KEYS[0], "2026-01-01T00:00:00.000000Z", b'{"a":1,"b":2}')
    fill = [
        keyed(number, KEYS[0], f"2026-01-02T00:00:{number:02d}.000000Z", b'{"t":"%s"}' % (b"x" * length))
        for number, length in enumerate(range(PERSON_LIMIT_BYTES - 400, PERSON_LIMIT_BYTES, 8))
    ]
    folded = fold_batch([many, *fill], {KEYS[0]: None})
    assert folded.rejected
    remove = keyed(9, KEYS[0], "2026-01-03T00:00:00.000000Z", b'{"a":null}')
    after = fold_batch([remove], {KEYS[0]: folded.changed[KEYS[0]]})
    assert after.rejected == []
    assert len(after.changed[KEYS[0]]) > len(folded.changed[KEYS[0]])


def test_traits_that_are_no_object_are_rejected_and_the_others_folded() -> None:
    bad = keyed(0, KEYS[0], "2026-01-01T00:00:00.000000Z", b"[1]")
    good = keyed(1, KEYS[0], "2026-01-01T00:00:00.000000Z", b'{"name":"a"}')
    folded = fold_batch([bad, good], {KEYS[0]: None})
    assert [each.code for each in folded.rejected] == ["not_an_item"]
    assert KEYS[0] in folded.changed


def test_parts_of_a_batch_are_bounded_by_the_bytes_of_their_persons() -> None:
    identifies = [(b"p/%d" % number, keyed(number, KEYS[0], "", b"{}")[1]) for number in range(1000)]
    read: list[int] = []

    def known(keys: Sequence[bytes]) -> list[bytes | None]:
        read.append(len(keys))
        return [b"x" * 100_000 for _ in keys]

    parts = in_parts(identifies, known)
    first = next(parts)
    assert sum(read) == len(first.persons) == PART_BYTES // 100_000 // READ_TOGETHER * READ_TOGETHER + READ_TOGETHER
    assert [*first.identifies, *(each for part in parts for each in part.identifies)] == identifies
    assert len(list(in_parts(identifies, lambda keys: [None for _ in keys]))) == 1


def test_part_reads_what_the_part_before_it_has_written() -> None:
    identifies = [(KEYS[0], keyed(number, KEYS[0], "", b"{}")[1]) for number in range(2 * READ_TOGETHER)]
    state: dict[bytes, bytes | None] = {KEYS[0]: b"x" * (PART_BYTES + 1)}
    parts = in_parts(identifies, lambda keys: [state[key] for key in keys])
    assert next(parts).persons == {KEYS[0]: state[KEYS[0]]}
    state[KEYS[0]] = b"written"
    assert next(parts).persons == {KEYS[0]: b"written"}
