"""The fold of a batch of identifies: a pure function of the current persons and the identifies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from processors.rejected import RejectionCode
from schemas.items import Identify
from schemas.persons import PERSON_LIMIT_BYTES, Person, encode_person, fold, growth_limit
from schemas.records import InvalidRecordError


class RejectedIdentify(NamedTuple):
    """An identify that cannot be applied to its person."""

    key: bytes
    identify: Identify
    code: RejectionCode
    message: str


@dataclass(frozen=True, slots=True)
class Folded:
    """The result of folding a batch."""

    changed: dict[bytes, bytes]
    """By key, the encoded new state of each person that changed."""
    rejected: list[RejectedIdentify]
    """Their persons are unchanged."""


def fold_batch(identifies: Iterable[tuple[bytes, Identify]], persons: Mapping[bytes, Person | None]) -> Folded:
    """Fold *identifies*, each with the key of its person, into *persons*, which has the state of every key or None.

    A person is encoded at its first change and once more at the end, however often it changes. It is encoded in
    between only near the size limit: `growth_limit` bounds the size without encoding.
    """
    current: dict[bytes, Person] = {}
    changed: dict[bytes, bytes] = {}
    rejected: list[RejectedIdentify] = []
    size_bounds: dict[bytes, int] = {}
    to_encode: set[bytes] = set()
    for key, identify in identifies:
        before = current[key] if key in current else persons[key]
        try:
            after = fold(before, identify)
        except InvalidRecordError as error:
            rejected.append(RejectedIdentify(key, identify, RejectionCode.NOT_AN_ITEM, str(error)))
            continue
        if after is before:
            continue
        bound = size_bounds[key] + growth_limit(identify) if key in size_bounds else None
        if bound is None or bound > PERSON_LIMIT_BYTES:
            encoded = encode_person(after)
            bound = len(encoded)
            if bound > PERSON_LIMIT_BYTES:
                message = (
                    f"With this identify the person would have {bound} bytes; the limit is {PERSON_LIMIT_BYTES}. "
                    f"The person is unchanged."
                )
                rejected.append(RejectedIdentify(key, identify, RejectionCode.PERSON_TOO_LARGE, message))
                continue
            changed[key] = encoded
            to_encode.discard(key)
        else:
            to_encode.add(key)
        current[key] = after
        size_bounds[key] = bound
    for key in to_encode:
        changed[key] = encode_person(current[key])
    return Folded(changed, rejected)
