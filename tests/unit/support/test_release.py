"""A release is refused from a tree that is not what its changelog says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.release import notes, problems

CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

## [1.2.0] - 2026-01-31

### Added

- New.

## [1.1.0] - 2025-12-31

- Old.
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True)


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "change")


def change(root: Path, old: str, new: str, file: str = "CHANGELOG.md") -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    commit(root)


def test_committed_tree_with_its_version_in_the_changelog_can_be_released(tree: Path) -> None:
    assert problems(tree) == []


def test_file_that_is_not_committed_is_named(tree: Path) -> None:
    (tree / "new.txt").touch()

    assert problems(tree) == ["Not committed: new.txt. Commit or remove it."]


def test_changes_under_unreleased_are_refused(tree: Path) -> None:
    change(tree, "### Added\n", "### Added\n\n- Forgotten.\n")

    [problem] = problems(tree)
    assert problem.startswith("CHANGELOG.md has changes under Unreleased")


@pytest.mark.parametrize(
    ("old", "new", "file"),
    [
        ("2026-01-31", "Unreleased", "CHANGELOG.md"),
        ("## [1.2.0] - 2026-01-31\n", "", "CHANGELOG.md"),
        ('"1.2.0"', '"1.3.0"', "pyproject.toml"),
    ],
)
def test_version_without_a_heading_with_its_date_is_refused(tree: Path, old: str, new: str, file: str) -> None:
    change(tree, old, new, file)

    assert "Give the version a heading with its date." in problems(tree)[-1]


def test_notes_are_the_part_of_the_changelog_about_the_version(tree: Path) -> None:
    text = notes(tree, "it-1.2.0.whl")

    assert text.startswith("# Sequence events 1.2.0 (2026-01-31)\n\n### Added\n\n- New.\n\n### Install\n")
    assert "Old" not in text
    assert "pip install -c constraints.txt 'it-1.2.0.whl[local]'" in text
