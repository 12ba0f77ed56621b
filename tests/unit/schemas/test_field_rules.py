"""Paths of the rules for private data, and the hash that replaces a value."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from schemas.field_rules import MAX_PATH_CHARACTERS, FieldRule, hashed, names_of


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("properties", ("properties",)),
        ("properties.email", ("properties", "email")),
        ("traits.address.street", ("traits", "address", "street")),
        ("context.Plan Name", ("context", "Plan Name")),
        (r"properties.utm\.source", ("properties", "utm.source")),
        (r"properties.a\\.b", ("properties", "a\\", "b")),
        ("anonymousId", ("anonymousId",)),
    ],
)
def test_path_names_a_value(path: str, names: tuple[str, ...]) -> None:
    assert names_of(path) == names


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        *(
            (path, "write names with dots")
            for path in ("", ".", "properties.", ".email", "properties..a", r"traits.\a")
        ),
        *((path, "must begin with") for path in ("email", "userId", "Properties.email", "anonymousId.a", "event")),
        ("traits." + "a" * MAX_PATH_CHARACTERS, "the limit is 512"),
    ],
)
def test_other_path_is_invalid(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        names_of(path)


def test_hash_is_the_hmac_that_every_library_computes() -> None:
    assert (
        hashed(b"key", "ada@example.com") == f"hmac:{hmac.new(b'key', b'ada@example.com', hashlib.sha256).hexdigest()}"
    )


def test_hash_of_a_hash_is_that_hash() -> None:
    once = hashed(b"key", "ada@example.com")

    assert hashed(b"key", once) == once
    assert hashed(b"key", f"{once}0") != f"{once}0"


def test_rule_reads_as_a_sentence() -> None:
    assert str(FieldRule("context.ip", "truncate", 7)) == "truncate context.ip to 7 characters"
    assert str(FieldRule("traits.email", "hash")) == "hash traits.email"
