"""Erased persons: one result for every order of identifies, erasures, repeats, stale writers and recoveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.persons import erased, fold, replay
from processors.persons.erased import up_to_date
from schemas.erasure import Erasure
from schemas.items import Identify
from schemas.persons import Person, decode_person
from schemas.times import SECOND, parse_time
from tests.support.erased_persons import CLUSTER, KEY, Action, World, expected, run
from tests.support.records import identify

DAY = 24 * 3600 * SECOND
FIRST = parse_time("2026-01-01T00:00:00.000000Z")
TRAITS = [b'{"name":"a"}', b'{"name":null}', b'{"name":"b","age":3}', b"{}"]


def erasure(number: int, cut: int, since: int | None = None, until: int | None = None) -> Erasure:
    """Return the erasure *number*, of everything or from day *since* to day *until*."""
    first, last = (None if day is None else FIRST + day * DAY for day in (since, until))
    return Erasure(1000 + number, (b"digest",), CLUSTER, 1, (cut,), (0,), since=first, until=last)


def identify_of(number: int, day: int, traits: bytes) -> Identify:
    return identify(f"m{number}", timestamp=f"2026-01-0{day + 1}T00:00:00.000000Z", traits=traits)


Content = tuple[int, bytes]
"""Day and traits of an identify."""
Cut = tuple[int, int | None, int | None]
"""Number of the identifies that an erasure covers, and the days from and until which it does."""


def case_of(content: Sequence[Content], erasures: Sequence[Cut], actions: list[Action]) -> tuple[World, list[Action]]:
    """Return the world of identifies and erasures by their values, and *actions*."""
    return World(
        [identify_of(number, *each) for number, each in enumerate(content)],
        [erasure(number, *each) for number, each in enumerate(erasures)],
    ), actions


@st.composite
def cases(draw: st.DrawFn) -> tuple[World, list[Action]]:
    days = st.integers(0, 4)
    content = draw(st.lists(st.tuples(days, st.sampled_from(TRAITS)), min_size=1, max_size=6))
    ranges = st.sampled_from([(None, None), (1, 3), (2, None), (None, 2), (0, 4)])
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=3)))
    erasures = [(cut, *draw(ranges)) for cut in cuts]
    workers = ["pause", "pause erasing", "resume", "recover", "recover behind"]
    names = st.sampled_from(["read", "read", "read", "know", "erase", *workers])
    return case_of(content, erasures, draw(st.lists(st.tuples(names, st.integers(0, 5)), max_size=14)))


def check(case: tuple[World, list[Action]]) -> None:
    world, actions = case
    run(world, actions)
    found = world.state.get_many([KEY])
    assert found == [expected(world.identifies, world.erasures)]
    assert world.before_recovery in (None, found)
    assert found == ([world.log[-1]] if world.log else [None])
    assert not replay.stale_keys(world.state.get_many)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_every_order_with_stale_writers_gives_the_person_of_the_model(case: tuple[World, list[Action]]) -> None:
    check(case)


def _apply_late_identifies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(erased, "after_erasures", lambda identify, *_: identify)


def _leave_out_those_in_a_range(patch: pytest.MonkeyPatch) -> None:
    original = erased.after_erasures

    def left_out(*arguments: object) -> object:
        left = original(*arguments)  # type: ignore[arg-type]  # those of the function
        return None if isinstance(left, erased.Nulls) else left

    patch.setattr(erased, "after_erasures", left_out)


def _recover_without_erasures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "up_to_date", lambda person, _: person)


def _let_older_values_return(patch: pytest.MonkeyPatch) -> None:
    original = erased._without_range  # the mechanism itself

    def without_tombstones(person: Person, each: Erasure) -> Person:
        return msgspec.structs.replace(original(person, each), removed=person.removed)

    patch.setattr(erased, "_without_range", without_tombstones)


def _accept_stale_tombstones(patch: pytest.MonkeyPatch) -> None:
    original = replay._merged  # the mechanism itself

    def merged(current: bytes | None, written: bytes | None, erasures: Sequence[Erasure]) -> replay.Merged:
        if written is None:
            return replay.Merged(None, is_stale=False, forgets=True)
        return original(current, written, erasures)

    patch.setattr(replay, "_merged", merged)


def _write_no_tombstone(patch: pytest.MonkeyPatch) -> None:
    original = fold.fold_batch

    def without(*arguments: object) -> fold.Folded:
        folded = original(*arguments)  # type: ignore[arg-type]  # those of the function
        folded.gone.clear()
        return folded

    patch.setattr(fold, "fold_batch", without)


def _join_whatever_is_known(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "_are_apart", lambda *_: False)


NAME = TRAITS[0]
Weaken = Callable[[pytest.MonkeyPatch], None]
CONTROLS: dict[Weaken, tuple[Sequence[Content], Sequence[Cut], list[Action]]] = {
    # A worker that recovers knows the first of two erasures only. The second has changed the person.
    _join_whatever_is_known: (
        [(3, NAME)],
        [(0, None, None), (1, 2, None)],
        [("know", 1), ("read", 0), ("erase", 1), ("recover behind", 1)],
    ),
    # The identifies are read after the erasure that covers them.
    _apply_late_identifies: ([(0, NAME), (0, NAME)], [(2, None, None)], []),
    _leave_out_those_in_a_range: ([(0, NAME), (1, NAME)], [(2, 1, 3)], []),
    # A paused worker writes the person after the tombstone.
    _recover_without_erasures: ([(0, NAME)], [(1, None, None)], [("pause", 0)]),
    _let_older_values_return: ([(1, NAME)], [(1, 1, 3)], [("read", 0)]),
    # A paused worker writes its tombstone after the next identify.
    _accept_stale_tombstones: ([(0, NAME), (0, NAME)], [(1, None, None)], [("read", 0), ("pause erasing", 0)]),
    _write_no_tombstone: ([(0, NAME)], [(1, None, None)], [("read", 0)]),
}
"""For each mutant the smallest case that it fails: identifies, erasures and actions."""


@pytest.mark.parametrize("weaken", CONTROLS)
def test_without_one_mechanism_an_order_gives_another_person(weaken: Weaken, monkeypatch: pytest.MonkeyPatch) -> None:
    check(case_of(*CONTROLS[weaken]))

    weaken(monkeypatch)
    with pytest.raises(AssertionError):
        check(case_of(*CONTROLS[weaken]))


def test_person_that_knows_its_erasures_is_the_same_object() -> None:
    whole, part = erasure(1, 9), erasure(2, 9, 0, 1)
    world = World([identify_of(0, 2, TRAITS[0])], [])
    run(world, [])
    person = decode_person(world.state.get_many([KEY])[0] or b"")
    assert up_to_date(person, []) is person
    assert up_to_date(person, [whole]) is None
    later = up_to_date(person, [part])
    assert later is not None
    assert (later.traits, later.erased) == (person.traits, part.requested_at)
    assert up_to_date(later, [whole, part]) is later


def test_identify_of_another_cluster_is_not_covered() -> None:
    one = identify_of(0, 1, TRAITS[0])
    headers = (("origin", b"3"), ("origin_partition", b"0"))
    assert erased.after_erasures(one, headers, [erasure(1, 4)], CLUSTER) is None
    assert erased.after_erasures(one, headers, [erasure(1, 3)], CLUSTER) is one
    assert erased.after_erasures(one, headers, [erasure(1, 4)], "another") is one
    assert erased.after_erasures(one, (), [erasure(1, 4)], CLUSTER) is one
