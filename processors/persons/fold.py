"""Folding a run of identifies into persons: a pure function of the persons as they are and the identifies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from schemas.items import Identify
from schemas.persons import PERSON_LIMIT_BYTES, Person, encode_person, fold, growth_limit
from schemas.records import InvalidRecordError


class RejectedTraits(NamedTuple):
    """An identify that could not be taken in, and why."""

    key: bytes
    identify: Identify
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What a run of identifies comes to."""

    changed: dict[bytes, bytes]
    """By key, the new state of each person that changed, as it is written."""
    refused: list[RejectedTraits]
    """Identifies that could not be taken in; their person stays as it was."""


def fold_run(identifies: Iterable[tuple[bytes, Identify]], persons: Mapping[bytes, Person | None]) -> Folded:
    """Fold *identifies*, each with the key of its person, into *persons*, the state of every key among them.

    A person is encoded when it changes first and once more at the end, however often it changes, unless it comes near
    the limit: what an identify can add at most is known without encoding.
    """
    current: dict[bytes, Person] = {}
    changed: dict[bytes, bytes] = {}
    refused: list[RejectedTraits] = []
    largest: dict[bytes, int] = {}
    stale: set[bytes] = set()
    for key, identify in identifies:
        before = current[key] if key in current else persons[key]
        try:
            after = fold(before, identify)
        except InvalidRecordError as error:
            refused.append(RejectedTraits(key, identify, "not_an_item", str(error)))
            continue
        if after is before:
            continue
        bound = largest[key] + growth_limit(identify) if key in largest else None
        if bound is None or bound > PERSON_LIMIT_BYTES:
            encoded = encode_person(after)
            bound = len(encoded)
            if bound > PERSON_LIMIT_BYTES:
                message = f"the person would have {bound} bytes, more than {PERSON_LIMIT_BYTES}, and stays as it was"
                refused.append(RejectedTraits(key, identify, "person_too_large", message))
                continue
            changed[key] = encoded
            stale.discard(key)
        else:
            stale.add(key)
        current[key] = after
        largest[key] = bound
    for key in stale:
        changed[key] = encode_person(current[key])
    return Folded(changed, refused)
