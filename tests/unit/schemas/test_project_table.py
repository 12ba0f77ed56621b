"""The table of projects and tokens: which token authorizes what, and which uses are not recorded yet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.errors import InvalidProjectError, InvalidTokenError
from gateway.projects import changes
from schemas.field_rules import FieldRule
from schemas.project_table import ProjectTable
from schemas.projects import (
    Burst,
    Deployment,
    Disabled,
    InvalidEntryError,
    ItemLimit,
    Project,
    ProjectCreation,
    Rate,
    Revocation,
    Rotation,
    TokenCreation,
    Use,
    describe_token,
    digest,
    encode_entry,
    new_token,
)

NOW = 1_800_000_000_000_000


def table_with(token: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> ProjectTable:
    table = ProjectTable()
    table.apply(*encode_entry(ProjectCreation("dev", "Development", NOW), "dev", "1"))
    described = describe_token(token, "dev", created_at=NOW, expires_at=expires_at)
    table.apply(*encode_entry(described, digest(token), "1"))
    if revoked_at is not None:
        table.apply(*encode_entry(Revocation(revoked_at), digest(token)))
    return table


def test_valid_token_authorizes_its_project() -> None:
    token = new_token("dev")

    found = table_with(token).find_and_record_use(token, NOW)

    assert found is not None
    assert (found.project.id, found.token_id) == ("dev", digest(token)[:16])


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


def test_revocation_before_the_creation_of_its_token_revokes_it() -> None:
    token = new_token("dev")
    table = ProjectTable()

    table.apply(*encode_entry(Revocation(NOW), digest(token)))
    table.apply(*encode_entry(describe_token(token, "dev", created_at=NOW), digest(token), "1"))

    assert table.tokens[digest(token)].revoked_at == NOW


def test_earliest_expiry_of_creation_and_rotations_counts() -> None:
    token = new_token("dev")
    table = table_with(token, expires_at=NOW + 9)
    assert table.lifetime(digest(token)) == 9

    for successor, expires_at, earliest in (("a", 7, 7), ("b", 8, 7), ("c", 11, 7), ("d", 5, 5)):
        table.apply(*encode_entry(Rotation(NOW + expires_at), digest(token), successor))
        assert table.tokens[digest(token)].expires_at == NOW + earliest

    assert table.lifetime(digest(token)) == 9


def test_first_of_several_creations_counts() -> None:
    token = new_token("dev")
    table = table_with(token)

    table.apply(*encode_entry(ProjectCreation("dev", "Taken", NOW), "dev", "2"))
    table.apply(*encode_entry(describe_token(token, "other", created_at=NOW), digest(token), "2"))

    assert table.projects["dev"].name == "Development"
    assert table.tokens[digest(token)].project_id == "dev"
    assert table.creation(ProjectCreation, "dev") == table.creation(TokenCreation, digest(token)) == "1"
    assert table.creation(ProjectCreation, "other") is None


def test_last_value_of_each_project_setting_counts() -> None:
    table = table_with(new_token("dev"))

    for entry in (
        Disabled(disabled=True),
        Rate(5),
        Burst(50),
        Rate(7),
        Disabled(disabled=False),
        Disabled(disabled=True),
        Burst(70),
        ItemLimit(2000),
        ItemLimit(1000),
    ):
        table.apply(*encode_entry(entry, "dev"))
    assert table.projects["dev"] == Project(
        "dev", "Development", NOW, disabled=True, items_per_second=7, burst=70, item_bytes=1000
    )

    table.apply(*encode_entry(Rate(None), "dev"))
    table.apply(*encode_entry(Disabled(disabled=False), "dev"))
    table.apply(*encode_entry(ItemLimit(None), "dev"))
    assert table.projects["dev"] == Project("dev", "Development", NOW, burst=70)


def test_last_rule_of_each_path_counts() -> None:
    table = table_with(new_token("dev"))

    def changed(rules: list[FieldRule], removed: Sequence[str] = ()) -> tuple[FieldRule, ...]:
        for record in changes.change_field_rules(table, "dev", rules, removed).records:
            table.apply(*record)
        return table.projects["dev"].field_rules

    email, ip = FieldRule("traits.email", "hash"), FieldRule("context.ip", "truncate", 7)
    assert changed([email, ip]) == (ip, email)
    key = table.projects["dev"].hash_key
    assert len(key) == 32
    path = r"properties.a/b.c\.d"
    assert changed([FieldRule("traits.email", "drop"), FieldRule(path, "hash")], ["context.ip"]) == (
        FieldRule(path, "hash"),
        FieldRule("traits.email", "drop"),
    )
    assert changed([], [path, "traits.email"]) == ()
    assert table.projects["dev"].hash_key == key


@pytest.mark.parametrize(
    ("rules", "removed", "reason"),
    [
        ([FieldRule("email", "drop")], [], "must begin with"),
        ([FieldRule("traits.a", "drop"), FieldRule("traits.a", "hash")], [], "several rules for traits.a"),
        ([FieldRule("traits.a", "drop")], ["traits.a"], "several rules for traits.a"),
        ([], ["traits.a"], "no rule for traits.a"),
    ],
)
def test_invalid_rules_are_rejected(rules: list[FieldRule], removed: list[str], reason: str) -> None:
    with pytest.raises(InvalidProjectError, match=reason):
        changes.change_field_rules(table_with(new_token("dev")), "dev", rules, removed)


def test_token_of_a_removed_project_authorizes_nothing() -> None:
    token = new_token("dev")
    table = table_with(token)

    table.apply(b"project/dev/1", None)

    assert table.find_and_record_use(token, NOW) is None


def test_token_authorizes_its_own_scope_only() -> None:
    writing, reading = new_token("dev"), new_token("dev")
    table = table_with(writing)
    table.apply(*encode_entry(describe_token(reading, "dev", created_at=NOW, scope="read"), digest(reading), "1"))

    assert table.find_and_record_use(writing, NOW) is not None
    assert table.find_and_record_use(reading, NOW, "read") is not None
    assert table.find_and_record_use(writing, NOW, "read") is table.find_and_record_use(reading, NOW) is None


def test_token_to_operate_belongs_to_no_project_and_cannot_write() -> None:
    table = ProjectTable()
    change = changes.create_token(table, NOW, "", token=None, expires_at=NOW + 10, scope="operate")
    table.apply(*change.records[0])
    operating = digest(change.result)

    found = table.find(operating, NOW)
    assert found is not None
    assert (found.scope, found.project_id, found.hint[:12]) == ("operate", "", "seq_operate_")
    assert table.find(operating, NOW + 10) is None
    assert table.find_and_record_use(change.result, NOW) is None


def test_token_to_operate_is_not_created_for_a_project() -> None:
    with pytest.raises(InvalidTokenError, match="leave out PROJECT"):
        changes.create_token(table_with(new_token("dev")), NOW, "dev", token=None, expires_at=None, scope="operate")


def test_use_is_unrecorded_until_its_day_is_applied() -> None:
    token = new_token("dev")
    table = table_with(token)
    assert table.pop_unrecorded_uses("2026-01-31") == []

    for _ in range(3):
        table.find_and_record_use(token, NOW)
    assert table.pop_unrecorded_uses("2026-01-31") == [digest(token)]
    assert table.pop_unrecorded_uses("2026-01-31") == []

    table.apply(*encode_entry(Use("2026-01-31"), digest(token)))
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

    table.apply(f"token/{digest(token)}/1".encode(), None)

    assert table.find_and_record_use(token, NOW) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"project/", b"{}"),
        (b"field-rule/dev", b'{"action":"drop"}'),
        (b"field-rule/dev/email", b'{"action":"drop"}'),
        (b"field-rule/dev/traits.a", b'{"action":"keep"}'),
        (b"hash-key/dev/1", b'{"key":"?"}'),
        (b"other/dev", b"{}"),
        (b"\xff\xfe", b"{}"),
        (b"project/dev", b'{"id":"dev","name":"Dev","createdAt":1}'),
        (b"project/dev/1", b"{}"),
        (b"project/dev/1", b"not JSON"),
        (b"project/dev/1", b'{"id":"dev","name":"\xff","createdAt":1}'),
        (b"disabled/dev/1", b'{"disabled":true}'),
        (b"disabled/dev", b'{"disabled":1}'),
        (b"rate/dev", b'{"itemsPerSecond":"5"}'),
        (b"burst/dev", b'{"burst":null}'),
        (b"token/abc/1", b'{"id":1}'),
        (b"token/abc/1", b'{"id":"a","projectId":"dev","hint":"","createdAt":1,"scope":"all"}'),
        (b"revocation/abc", b"{}"),
        (b"rotation/abc", b'{"expiresAt":1}'),
        (b"use/abc", b'{"day":1}'),
        (b"deployment/v1", b'{"partitions":"4"}'),
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


def test_record_of_the_deployment_changes_no_project_and_no_token() -> None:
    token = new_token("dev")
    table = table_with(token)
    before = dict(table.projects), dict(table.tokens)

    table.apply(*encode_entry(Deployment(4, NOW), "v1"))

    assert table.deployments == {"v1": Deployment(4, NOW)}
    assert (table.projects, table.tokens) == before
