"""The worker's directory is checked before the worker connects, and named in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from processors.engine import worker_directory
from processors.engine.errors import WorkerDirectoryError


def test_missing_directory_is_created_and_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert worker_directory.prepare("a b/ü") == tmp_path / "a b" / "ü"
    assert list((tmp_path / "a b" / "ü").iterdir()) == []


def test_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert worker_directory.prepare("~/state") == tmp_path / "state"


@pytest.mark.parametrize("configured", ["/dev/null/state", "x" * 5000, "~no-such-user-here/state"])
def test_directory_that_cannot_be_written_is_named_with_its_setting(configured: str) -> None:
    with pytest.raises(WorkerDirectoryError) as caught:
        worker_directory.prepare(configured)

    assert f"Cannot write the worker's directory {configured}: " in str(caught.value)
    assert "SEQUENCE_WORKER_DIR" in str(caught.value)


@pytest.mark.parametrize("kind", ["dedupe", "persons"])
def test_worker_ends_with_one_sentence_and_no_traceback(kind: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "worker", kind],
        env={**os.environ, "SEQUENCE_WORKER_DIR": "/dev/null/state"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 1
    assert ended.stderr == (
        "Error: Cannot write the worker's directory /dev/null/state: Not a directory. "
        "Set SEQUENCE_WORKER_DIR to a directory that this user may write.\n"
    )
