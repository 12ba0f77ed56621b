"""Projects and tokens as they are stored."""

from __future__ import annotations

import pytest

from schemas.projects import (
    Directory,
    InvalidEntryError,
    Project,
    describe_token,
    digest,
    is_project_id,
    is_token,
    new_token,
    project_entry,
    token_entry,
    use_entry,
)

NOW = 1_800_000_000_000_000


def directory(token: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> Directory:
    made = Directory()
    made.apply(*project_entry(Project("dev", "Development", NOW)))
    described = describe_token(token, "dev", created_at=NOW, expires_at=expires_at)
    if revoked_at is not None:
        described = type(described)(described.id, "dev", described.hint, NOW, expires_at, revoked_at)
    made.apply(*token_entry(digest(token), described))
    return made


def test_a_new_token_has_256_random_bits_after_a_readable_prefix() -> None:
    token = new_token("dev")

    assert token.startswith("seq_dev_")
    assert len(token.removeprefix("seq_dev_")) == 43
    assert token != new_token("dev")
    assert is_token(token)


def test_a_stored_token_does_not_hold_its_secret() -> None:
    token = new_token("dev")

    key, value = token_entry(digest(token), describe_token(token, "dev", created_at=NOW))

    secret = token.removeprefix("seq_dev_").encode()
    assert secret[4:] not in key + value
    assert secret not in key + value


def test_the_hint_of_a_token_from_elsewhere_shows_four_characters() -> None:
    assert describe_token("a-write-key-of-old", "dev", created_at=NOW).hint == "a-wr…"


def test_a_token_opens_its_project() -> None:
    token = new_token("dev")

    found = directory(token).find(token, NOW)

    assert found is not None
    assert found.id == "dev"


def test_an_unknown_token_opens_nothing() -> None:
    assert directory(new_token("dev")).find(new_token("dev"), NOW) is None


def test_a_token_opens_nothing_from_the_moment_it_expires() -> None:
    token = new_token("dev")
    made = directory(token, expires_at=NOW + 5)

    assert made.find(token, NOW + 4) is not None
    assert made.find(token, NOW + 5) is None


def test_a_revoked_token_opens_nothing() -> None:
    token = new_token("dev")

    assert directory(token, revoked_at=NOW).find(token, NOW) is None


def test_a_token_of_a_project_that_is_gone_opens_nothing() -> None:
    token = new_token("dev")
    made = directory(token)

    made.apply(b"project/dev", None)

    assert made.find(token, NOW) is None


def test_a_token_opens_its_project_for_what_it_is_for_alone() -> None:
    writing, reading = new_token("dev"), new_token("dev")
    made = directory(writing)
    made.apply(*token_entry(digest(reading), describe_token(reading, "dev", created_at=NOW, scope="read")))

    assert made.find(writing, NOW) is not None
    assert made.find(reading, NOW, "read") is not None
    assert made.find(writing, NOW, "read") is made.find(reading, NOW) is None


def test_a_use_is_told_of_until_it_is_recorded_and_again_on_another_day() -> None:
    token = new_token("dev")
    made = directory(token)
    assert made.unrecorded_uses("2026-01-31") == []

    for _ in range(3):
        made.find(token, NOW)
    assert made.unrecorded_uses("2026-01-31") == [digest(token)]
    assert made.unrecorded_uses("2026-01-31") == []

    made.apply(*use_entry(digest(token), "2026-01-31"))
    made.find(token, NOW)
    assert made.unrecorded_uses("2026-01-31") == []
    made.find(token, NOW)
    assert made.unrecorded_uses("2026-02-01") == [digest(token)]


def test_a_token_that_opens_nothing_is_not_used() -> None:
    token = new_token("dev")
    made = directory(token, revoked_at=NOW)

    made.find(token, NOW)
    made.find(new_token("dev"), NOW)

    assert made.unrecorded_uses("2026-01-31") == []


def test_a_tombstone_takes_a_token_away() -> None:
    token = new_token("dev")
    made = directory(token)

    made.apply(f"token/{digest(token)}".encode(), None)

    assert made.find(token, NOW) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"project/", b"{}"),
        (b"other/dev", b"{}"),
        (b"\xff\xfe", b"{}"),
        (b"project/dev", b"{}"),
        (b"project/dev", b"not JSON"),
        (b"project/dev", b'{"id":"dev","name":"\xff","createdAt":1}'),
        (b"token/abc", b'{"id":1}'),
        (b"token/abc", b'{"id":"a","projectId":"dev","hint":"","createdAt":1,"scope":"all"}'),
        (b"use/abc", b'{"day":1}'),
    ],
)
def test_an_entry_that_is_none_is_refused_and_changes_nothing(key: bytes | None, value: bytes) -> None:
    token = new_token("dev")
    made = directory(token)

    with pytest.raises(InvalidEntryError):
        made.apply(key, value)

    assert made.find(token, NOW) is not None
    assert len(made.projects) == len(made.tokens) == 1


def test_a_token_with_a_lone_surrogate_opens_nothing() -> None:
    assert directory(new_token("dev")).find("seq_dev_\ud800\udcff", NOW) is None


@pytest.mark.parametrize("text", ["", "a/b", "a b", "é", "a" * 65, "dev\n"])
def test_what_is_no_project_id(text: str) -> None:
    assert not is_project_id(text)


@pytest.mark.parametrize("text", ["dev", "A-1_b", "a" * 64])
def test_what_is_a_project_id(text: str) -> None:
    assert is_project_id(text)


def test_the_burst_of_a_project_is_a_second_of_its_rate_unless_it_says_otherwise() -> None:
    assert Project("p", "P", NOW).rate() is None
    assert Project("p", "P", NOW, items_per_second=5.0).rate() == (5.0, 5.0)
    assert Project("p", "P", NOW, items_per_second=5.0, burst=50.0).rate() == (5.0, 50.0)
