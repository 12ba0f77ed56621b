"""Folding a run of identifies into persons: a pure function of the persons as they are and the identifies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.persons import PERSON_LIMIT_BYTES, Person, encode_person, fold

from schemas.items import Identify


@dataclass(frozen=True, slots=True)
class Folded:
    """What a run of identifies comes to."""

    changed: dict[bytes, bytes]
    """By key, the new state of each person that changed, as it is written."""
    too_large: list[tuple[bytes, Identify]]
    """Identifies that would have made their person exceed its limit; the person stays as it was."""


def fold_run(identifies: Iterable[tuple[bytes, Identify]], persons: Mapping[bytes, Person | None]) -> Folded:
    """Fold *identifies*, each with the key of its person, into *persons*, the state of every key among them."""
    current: dict[bytes, Person | None] = {}
    changed: dict[bytes, bytes] = {}
    too_large: list[tuple[bytes, Identify]] = []
    for key, identify in identifies:
        before = current[key] if key in current else persons[key]
        after = fold(before, identify)
        if after is before:
            continue
        encoded = encode_person(after)
        if len(encoded) > PERSON_LIMIT_BYTES:
            too_large.append((key, identify))
            continue
        current[key] = after
        changed[key] = encoded
    return Folded(changed, too_large)
