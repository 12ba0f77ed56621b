"""`sequence erase`: whom it takes, and what it refuses before it changes anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.errors import ArgumentError
from deploy.operate.erase import Request, checked_users
from schemas.erasure import USERS_LIMIT, user_digest

KEY = b"a key"


@pytest.mark.parametrize("user", ["", " ", "x" * 256, "a\0b"])
def test_user_id_that_no_item_can_have_is_refused(user: str) -> None:
    with pytest.raises(ArgumentError, match="is no user ID"):
        checked_users(["ada", user])


def test_each_user_counts_once() -> None:
    assert checked_users(["ada", "bob", "ada"]) == ("ada", "bob")


def test_many_users_are_several_erasures_of_the_same_users_each_time() -> None:
    users = tuple(f"user {number}" for number in range(USERS_LIMIT + 1))
    parts = list(Request("p", users).parts(KEY))

    assert [len(part) for part in parts] == [USERS_LIMIT, 1]
    assert {digest: user for part in parts for digest, user in part.items()} == {
        user_digest(KEY, user): user for user in users
    }
    assert list(Request("p", users[::-1]).parts(KEY)) == parts


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "ada"], "Missing option --project."),
        (["--project", "p"], "Name the users with --user or --users-from."),
        (
            ["--project", "p", "--user", "a", "--from", "2026-02-01T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
            "--from",
        ),
        (["--project", "p", "--user", "ada"], "Nothing was changed. Add --yes to erase, or --dry-run to count."),
    ],
)
def test_command_without_what_it_needs_changes_nothing(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["erase", *arguments])

    assert result.exit_code in {1, 2}
    assert said in result.output


def test_users_are_read_from_a_file_and_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("ada\r\n\nbob \n", encoding="utf-8")
    for arguments, given in (([str(file)], None), (["-"], file.read_text(encoding="utf-8"))):
        result = CliRunner().invoke(main, ["erase", "--project", "p", "--users-from", *arguments], input=given)
        assert "Nothing was changed." in result.output, result.output
    missing = CliRunner().invoke(main, ["erase", "--project", "p", "--users-from", str(tmp_path / "none")])
    assert missing.exit_code == 2
