"""The table of projects and tokens: which token authorizes what, and which uses are not recorded yet."""

from __future__ import annotations

import pytest

from gateway.projects.table import ProjectTable
from schemas.projects import (
    InvalidEntryError,
    Project,
    describe_token,
    digest,
    new_token,
    project_entry,
    token_entry,
    use_entry,
)

NOW = 1_800_000_000_000_000


def table_with(token: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> ProjectTable:
    table = ProjectTable()
    table.apply(*project_entry(Project("dev", "Development", NOW)))
    described = describe_token(token, "dev", created_at=NOW, expires_at=expires_at)
    if revoked_at is not None:
        described = type(described)(described.id, "dev", described.hint, NOW, expires_at, revoked_at)
    table.apply(*token_entry(digest(token), described))
    return table


def test_valid_token_authorizes_its_project() -> None:
    token = new_token("dev")

    found = table_with(token).find_and_record_use(token, NOW)

    assert found is not None
    assert found.id == "dev"


def test_unknown_token_authorizes_nothing() -> None:
    assert table_with(new_token("dev")).find_and_record_use(new_token("dev"), NOW) is None


def test_token_authorizes_nothing_from_its_expiry_on() -> None:
    token = new_token("dev")
    table = table_with(token, expires_at=NOW + 5)

    assert table.find_and_record_use(token, NOW + 4) is not None
    assert table.find_and_record_use(token, NOW + 5) is None


def test_revoked_token_authorizes_nothing() -> None:
    token = new_token("dev")

    assert table_with(token, revoked_at=NOW).find_and_record_use(token, NOW) is None


def test_token_of_a_removed_project_authorizes_nothing() -> None:
    token = new_token("dev")
    table = table_with(token)

    table.apply(b"project/dev", None)

    assert table.find_and_record_use(token, NOW) is None


def test_token_authorizes_its_own_scope_only() -> None:
    writing, reading = new_token("dev"), new_token("dev")
    table = table_with(writing)
    table.apply(*token_entry(digest(reading), describe_token(reading, "dev", created_at=NOW, scope="read")))

    assert table.find_and_record_use(writing, NOW) is not None
    assert table.find_and_record_use(reading, NOW, "read") is not None
    assert table.find_and_record_use(writing, NOW, "read") is table.find_and_record_use(reading, NOW) is None


def test_use_is_unrecorded_until_its_day_is_applied() -> None:
    token = new_token("dev")
    table = table_with(token)
    assert table.pop_unrecorded_uses("2026-01-31") == []

    for _ in range(3):
        table.find_and_record_use(token, NOW)
    assert table.pop_unrecorded_uses("2026-01-31") == [digest(token)]
    assert table.pop_unrecorded_uses("2026-01-31") == []

    table.apply(*use_entry(digest(token), "2026-01-31"))
    table.find_and_record_use(token, NOW)
    assert table.pop_unrecorded_uses("2026-01-31") == []
    table.find_and_record_use(token, NOW)
    assert table.pop_unrecorded_uses("2026-02-01") == [digest(token)]


def test_invalid_token_is_not_recorded_as_used() -> None:
    token = new_token("dev")
    table = table_with(token, revoked_at=NOW)

    table.find_and_record_use(token, NOW)
    table.find_and_record_use(new_token("dev"), NOW)

    assert table.pop_unrecorded_uses("2026-01-31") == []


def test_tombstone_removes_a_token() -> None:
    token = new_token("dev")
    table = table_with(token)

    table.apply(f"token/{digest(token)}".encode(), None)

    assert table.find_and_record_use(token, NOW) is None


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
def test_invalid_entry_raises_and_leaves_the_table_unchanged(key: bytes | None, value: bytes) -> None:
    token = new_token("dev")
    table = table_with(token)

    with pytest.raises(InvalidEntryError):
        table.apply(key, value)

    assert table.find_and_record_use(token, NOW) is not None
    assert len(table.projects) == len(table.tokens) == 1


def test_token_with_a_lone_surrogate_authorizes_nothing() -> None:
    assert table_with(new_token("dev")).find_and_record_use("seq_dev_\ud800\udcff", NOW) is None
