"""The state directory: created for its owner alone, closed to others at the next start, never another directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deploy.errors import StateError
from deploy.local import state_lock


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_state_directory_is_created_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with state_lock.held(tmp_path / "parent" / "state"):
            pass
    finally:
        os.umask(before)

    assert mode(tmp_path / "parent" / "state") == 0o700
    assert mode(tmp_path / "parent" / "state" / "lock") == 0o600


@pytest.mark.parametrize(
    "content", [[], ["lock", "dev-token", "kafka", "clickhouse", "workers", "logs", "run", "cache"]]
)
@pytest.mark.parametrize("was", [0o755, 0o770, 0o701])
def test_state_directory_of_an_earlier_stack_is_closed_to_others(tmp_path: Path, content: list[str], was: int) -> None:
    for name in content:
        (tmp_path / name).touch()
    tmp_path.chmod(was)

    with state_lock.held(tmp_path):
        assert mode(tmp_path) == 0o700


def test_directory_with_other_files_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)

    with pytest.raises(StateError, match=r"mode 0755.*SEQUENCE_STATE_DIR.*chmod 700"), state_lock.held(tmp_path):
        pass

    assert mode(tmp_path) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_closed_directory_with_other_files_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    tmp_path.chmod(0o700)

    with state_lock.held(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_directory_of_another_user_is_refused_and_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)

    with pytest.raises(StateError, match=rf"another user \(uid {own}, .*SEQUENCE_STATE_DIR"), state_lock.held(tmp_path):
        pass

    assert mode(tmp_path) == 0o777
    assert not list(tmp_path.iterdir())
