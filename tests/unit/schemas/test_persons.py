"""Persons are independent of the order and repetition of their identifies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from schemas.items import Identify
from schemas.persons import Person, decode_person, encode_person, fold, join, kept_id
from schemas.records import InvalidRecordError
from schemas.times import parse_time

EARLY, NOON, LATE, LATER = (f"2026-01-31T{hour}:00:00.000000Z" for hour in ("08", "12", "20", "21"))


def identify(traits: str, timestamp: str = NOON, message_id: str = "m1") -> Identify:
    return Identify("p", message_id, "u", timestamp, LATE, traits=Raw(traits.encode()))


def folded(*identifies: Identify, start: Person | None = None) -> Person:
    person = start
    for each in identifies:
        person = fold(person, each)
    assert person is not None
    return person


def visible(person: Person) -> dict[str, object]:
    return {name: json.loads(bytes(value)) for name, value in person.traits.items()}


values = st.sampled_from(["null", "1", '"a"', '"b"', "{}", '{"a": [1, null]}', "1e2"])
LONG = "x" * 40
traits = st.dictionaries(st.sampled_from(["a", "b", "", "ünïcode", LONG]), values, max_size=5).map(
    lambda members: "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members.items()) + "}"
)
identifies = st.builds(
    identify, traits, st.sampled_from([EARLY, NOON, LATE]), st.sampled_from(["m1", "m2", "m3", "m" * 255])
)


@given(
    st.lists(identifies, min_size=1, max_size=8).flatmap(
        lambda history: st.tuples(st.just(history), st.permutations(history))
    )
)
def test_every_order_gives_the_same_bytes(orders: tuple[list[Identify], list[Identify]]) -> None:
    one, other = orders

    assert encode_person(folded(*one)) == encode_person(folded(*other))


@given(st.lists(identifies, min_size=1, max_size=6), st.lists(identifies, min_size=1, max_size=6))
def test_join_of_two_folds_equals_the_fold_of_all(here: list[Identify], there: list[Identify]) -> None:
    assert encode_person(join(folded(*here), folded(*there))) == encode_person(folded(*here, *there))


@given(st.lists(identifies, min_size=1, max_size=6), st.data())
def test_join_with_a_part_of_a_person_changes_nothing(history: list[Identify], data: st.DataObject) -> None:
    person = folded(*history)
    less = folded(*data.draw(st.lists(st.sampled_from(history), min_size=1, max_size=6)))

    assert join(less, person) is person
    assert encode_person(join(person, less)) == encode_person(person)


@given(st.lists(identifies, min_size=1, max_size=6), st.data())
def test_repeated_identifies_change_nothing(history: list[Identify], data: st.DataObject) -> None:
    person = folded(*history)
    again = data.draw(st.lists(st.sampled_from(history), min_size=1, max_size=12))

    for each in again:
        assert fold(person, each) is person


@given(st.lists(identifies, min_size=1, max_size=6), st.data())
def test_fold_continues_from_a_decoded_person(history: list[Identify], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(history)))
    restored = decode_person(encode_person(folded(*history[:cut])))

    assert restored == folded(*history[:cut])
    assert encode_person(folded(*history[cut:], start=restored)) == encode_person(folded(*history))


def test_latest_write_of_each_trait_wins() -> None:
    person = folded(identify('{"plan":"free","city":"Ulm"}', EARLY), identify('{"plan":"pro"}', LATE, "m2"))

    assert visible(person) == {"plan": "pro", "city": "Ulm"}
    assert person.stamps == {"plan": (parse_time(LATE), "m2"), "city": (parse_time(EARLY), "m1")}
    assert (person.first_seen, person.last_seen) == (EARLY, LATE)


def test_older_value_that_arrives_late_loses() -> None:
    person = folded(identify('{"plan":"pro"}', LATE), identify('{"plan":"free"}', EARLY, "m2"))

    assert visible(person) == {"plan": "pro"}
    assert person.first_seen == EARLY


def test_newer_write_of_the_same_value_updates_its_time() -> None:
    person = folded(
        identify('{"plan":"pro"}', EARLY), identify('{"plan":"pro"}', LATE), identify('{"plan":"no"}', NOON)
    )

    assert visible(person) == {"plan": "pro"}


def test_null_removes_a_trait_and_leaves_a_tombstone() -> None:
    person = folded(identify('{"plan":"pro"}', NOON), identify('{"plan": null }', LATE), identify('{"plan":"x"}', NOON))

    assert (visible(person), person.stamps, person.removed) == ({}, {}, {"plan": parse_time(LATE)})


def test_value_newer_than_null_wins() -> None:
    person = folded(identify('{"plan":null}', NOON), identify('{"plan":""}', LATE))

    assert visible(person) == {"plan": ""}


def test_message_id_decides_between_writes_of_equal_time() -> None:
    person = folded(identify('{"plan":"b"}', NOON, "m2"), identify('{"plan":"c"}', NOON, "m1"))

    assert visible(person) == {"plan": "b"}


def test_values_are_kept_byte_for_byte() -> None:
    person = folded(identify('{"n":1.0,"big":18446744073709551615,"e":1e2,"o":{"b":1,  "a":2}}'))

    assert {name: bytes(value) for name, value in person.traits.items()} == {
        "n": b"1.0",
        "big": b"18446744073709551615",
        "e": b"1e2",
        "o": b'{"b":1,  "a":2}',
    }


def test_identify_without_traits_creates_a_person() -> None:
    person = fold(None, Identify("p", "m", "u", NOON, LATE))

    assert person == Person("p", "u", {}, {}, {}, NOON, NOON)
    assert decode_person(encode_person(person)) == person


def test_record_has_each_name_and_each_write_once() -> None:
    person = folded(
        identify('{"plan":"free","city":"Ulm","age":4}', EARLY, "m1"),
        identify('{"plan":"pro","zip":null,"old":null}', LATE, "m2"),
    )

    assert encode_person(person) == (
        b'{"projectId":"p","userId":"u","traits":{"age":4,"city":"Ulm","plan":"pro"},'
        b'"firstSeen":"2026-01-31T08:00:00.000000Z","lastSeen":"2026-01-31T20:00:00.000000Z",'
        b'"writes":[[1769846400000000,"m1"],[1769889600000000,"m2"]],"written":[0,0,1],'
        b'"removed":[[1769889600000000,["old","zip"]]]}'
    )


EARLIER = (
    b'{"projectId":"p","userId":"u","traits":{"city":"Ulm","plan":"pro"},'
    b'"stamps":{"city":["2026-01-31T08:00:00.000000Z","m1"],"plan":["2026-01-31T20:00:00.000000Z","m2"],'
    b'"zip":["2026-01-31T12:00:00.000000Z","m3"]},'
    b'"firstSeen":"2026-01-31T08:00:00.000000Z","lastSeen":"2026-01-31T20:00:00.000000Z"}'
)
"""A record of a version that had a time and a messageId for each name."""


def test_record_of_an_earlier_version_is_the_fold_of_its_identifies() -> None:
    same = folded(
        identify('{"city":"Ulm","plan":"free"}', EARLY, "m1"),
        identify('{"plan":"pro"}', LATE, "m2"),
        identify('{"zip":null}', NOON, "m3"),
    )

    assert decode_person(EARLIER) == same
    assert join(decode_person(EARLIER), same) is same


def test_earlier_record_without_the_stamp_of_a_trait_raises_an_error() -> None:
    with pytest.raises(InvalidRecordError):
        decode_person(EARLIER.replace(b'"city":[', b'"town":['))


def test_null_wins_over_a_value_of_the_same_time() -> None:
    value, null = identify('{"plan":"pro"}', NOON, "m9"), identify('{"plan":null}', NOON, "m1")

    assert visible(folded(value, null)) == visible(folded(null, value)) == {}


def test_long_message_ids_and_removed_names_are_kept_as_hashes() -> None:
    long = "x" * 255
    person = folded(identify(f'{{"{long}":1,"a":2}}', NOON, long), identify(f'{{"{long}":null}}', LATE))

    assert len(encode_person(person)) < 300
    assert fold(person, identify(f'{{"{long}":3}}', NOON)) is person
    assert visible(fold(person, identify(f'{{"{long}":3}}', LATER))) == {long: 3, "a": 2}
    assert len({kept_id(f"{number}{long}") for number in range(100)}) == 100


@pytest.mark.parametrize("traits", ["[]", "null", "{", '{"a":\\ud800}', ""])
def test_traits_that_are_no_object_raise_an_error(traits: str) -> None:
    with pytest.raises(InvalidRecordError):
        fold(None, identify(traits))


_FIELDS = b'{"projectId":"p","userId":"u","firstSeen":"","lastSeen":"","traits":{"a":1},'
BROKEN = [
    _FIELDS + rest
    for rest in (b'"writes":[]}', b'"writes":[[1,"m"]],"written":[1]}', b'"writes":[[1,"m"]],"written":[-1]}')
]


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"\xff", b'{"projectId":"p"}', b"[" * 5000, *BROKEN])
def test_bytes_that_are_no_person_raise_an_error(value: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        decode_person(value)


@pytest.mark.parametrize("time", ["", "today", "2026-01-31T12:00:00.00000xZ"])
def test_time_that_is_none_raises_an_error(time: str) -> None:
    with pytest.raises(InvalidRecordError):
        fold(None, identify('{"a":1}', time))
