"""The size of a person: at least the length of its record, and the same however the person came about."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processors.persons.size import PersonSize, growth_bound, size_bound
from schemas.items import Identify
from schemas.persons import Person, apply_change, change_by, decode_person, encode_person, new_person
from tests.support.records import identify

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
names = texts | st.sampled_from(["x" * 40, "y" * 33])
histories = st.lists(
    st.builds(
        lambda message_id, day, content: identify(
            message_id, timestamp=f"2026-01-0{day}T00:00:00.000000Z", traits=msgspec.json.encode(content)
        ),
        texts | st.just("m" * 255),
        st.integers(1, 3),
        st.dictionaries(names, texts | st.none(), max_size=4),
    ),
    min_size=1,
    max_size=8,
)


def copied(person: Person) -> Person:
    return decode_person(encode_person(person))


def steps(history: Sequence[Identify]) -> list[tuple[Identify, Person, PersonSize]]:
    """Return each identify with the person after it, and the size that was adjusted by each change."""
    person = new_person(history[0])
    size = PersonSize(person)
    found = []
    for each in history:
        if (change := change_by(each, person)) is not None:
            size.grow(size.growth(person, change))
            person = apply_change(copied(person), change)
        found.append((each, person, size))
        assert size.bytes == PersonSize(person).bytes
    return found


@given(histories)
def test_adjusted_size_equals_the_size_of_the_person(history: list[Identify]) -> None:
    steps(history)


@given(histories)
def test_record_is_never_longer_than_the_size(history: list[Identify]) -> None:
    for _, person, _ in steps(history):
        encoded = encode_person(person)
        assert len(encoded) <= PersonSize(person).bytes <= size_bound(encoded)


@given(histories)
def test_growth_bound_bounds_the_growth_of_a_person(history: list[Identify]) -> None:
    before = 0
    for each, person, _ in steps(history):
        after = PersonSize(person).bytes
        assert after <= before + growth_bound(each)
        before = after
