"""The checks for secrets and vulnerabilities find what they look for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.inspection import LOCKS, ROOT, files, read_report, scan

# In two parts, or the scan would find them in this file.
PLANTED = [
    "aws_key = 'AKIA" + "IOSFODNN7EXAMPLE'",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "password = 'hun" + "ter2hunter2'",
]


@pytest.mark.parametrize("line", PLANTED)
def test_secret_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "settings.py").write_text(f"{line}\n")

    assert scan(["settings.py"], tmp_path) == 1


def test_file_without_secret_passes(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("password = os.environ['PASSWORD']\n")

    assert scan(["settings.py"], tmp_path) == 0


def test_files_are_those_of_the_repository() -> None:
    found = files()

    assert {"README.md", "gateway/app.py", "tests/support/inspection.py"} <= set(found)
    assert not [name for name in found if name.startswith(".venv/")]


def test_without_git_the_files_are_those_of_the_directory(tmp_path: Path) -> None:
    for name in ("a.py", ".venv/b.py", "c/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert sorted(files(tmp_path)) == ["a.py", "c/d.py"]


def test_report_lists_vulnerabilities_and_counts_skipped_packages() -> None:
    report = {
        "dependencies": [
            {
                "name": "a",
                "version": "1",
                "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}, {"id": "X", "fix_versions": []}],
            },
            {"name": "b", "version": "1", "vulns": []},
            {"name": "c", "skip_reason": "not found"},
        ]
    }

    assert read_report(report) == (["a 1: CVE-1, fixed in 2", "a 1: X, fixed in none"], 1)


def test_every_lock_file_is_audited() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==[^ ]+)", (ROOT / name).read_text(), re.MULTILINE))

    locks = [name for name in files() if name.endswith(".lock")]
    audited = set().union(*(pins(name) for name in LOCKS))

    assert locks
    assert {name: pins(name) - audited for name in locks if pins(name) - audited} == {}


@pytest.mark.parametrize(
    ("target", "check"), [("check", "secrets"), ("lint", "secrets"), ("test", "secrets"), ("test", "vulnerabilities")]
)
def test_make_target_runs_the_inspection(target: str, check: str) -> None:
    dry_run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)

    assert f"-m tests.support.inspection {check}" in dry_run.stdout
