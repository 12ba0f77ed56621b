"""Projects and tokens as records."""

from __future__ import annotations

import pytest

from schemas.projects import (
    Burst,
    Deployment,
    Disabled,
    Entry,
    Project,
    ProjectCreation,
    Rate,
    Revocation,
    Rotation,
    TokenCreation,
    Use,
    decode_entry,
    describe_token,
    digest,
    encode_entry,
    is_project_id,
    is_token,
    new_creation,
    new_token,
)

NOW = 1_800_000_000_000_000


def test_new_token_has_256_random_bits_after_a_readable_prefix() -> None:
    token = new_token("dev")

    assert token.startswith("seq_dev_")
    assert len(token.removeprefix("seq_dev_")) == 43
    assert token != new_token("dev")
    assert is_token(token)


def test_token_record_does_not_contain_its_secret() -> None:
    token = new_token("dev")

    key, value = encode_entry(describe_token(token, "dev", created_at=NOW), digest(token), new_creation())

    secret = token.removeprefix("seq_dev_").encode()
    assert secret[4:] not in key + value
    assert secret not in key + value


def test_hint_of_a_foreign_token_shows_four_characters() -> None:
    assert describe_token("a-write-key-of-old", "dev", created_at=NOW).hint == "a-wr…"


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        (ProjectCreation("dev", "Development", NOW), "c1"),
        (Disabled(disabled=True), ""),
        (Rate(None), ""),
        (Rate(0.5), ""),
        (Burst(2.5), ""),
        (describe_token("a-write-key-of-old", "dev", created_at=NOW), "c1"),
        (describe_token("a-write-key-of-old", "dev", created_at=NOW, expires_at=NOW, scope="read"), "c1"),
        (Revocation(NOW), ""),
        (Rotation(NOW), "def"),
        (Use("2026-01-31"), ""),
        (Deployment(4, NOW), ""),
    ],
)
def test_entry_is_decoded_to_what_was_encoded(entry: Entry, part: str) -> None:
    assert decode_entry(*encode_entry(entry, "abc", part)) == (type(entry), "abc", part, entry)


def test_two_creations_have_different_numbers() -> None:
    assert new_creation() != new_creation()


def test_tombstone_is_decoded_without_an_entry() -> None:
    assert decode_entry(b"token/abc/c1", None) == (TokenCreation, "abc", "c1", None)


@pytest.mark.parametrize("text", ["", "a/b", "a b", "é", "a" * 65, "dev\n"])
def test_invalid_project_ids(text: str) -> None:
    assert not is_project_id(text)


@pytest.mark.parametrize("text", ["dev", "A-1_b", "a" * 64])
def test_valid_project_ids(text: str) -> None:
    assert is_project_id(text)


def test_burst_defaults_to_the_items_of_one_second() -> None:
    assert Project("p", "P", NOW).rate() is None
    assert Project("p", "P", NOW, items_per_second=5.0).rate() == (5.0, 5.0)
    assert Project("p", "P", NOW, items_per_second=5.0, burst=50.0).rate() == (5.0, 50.0)
