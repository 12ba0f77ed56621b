"""What `sequence up` checks before it starts anything: the lock of the state directory, and its ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deploy.errors import AlreadyRunningError, StateError
from deploy.local import state_lock
from deploy.local.ports import is_port_free
from tests.support.services import free_port


def test_state_directory_is_locked_by_one_stack_at_a_time(tmp_path: Path) -> None:
    with (
        state_lock.held(tmp_path),
        pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}") as caught,
        state_lock.held(tmp_path),
    ):
        pass

    assert "SEQUENCE_STATE_DIR" in str(caught.value)
    with state_lock.held(tmp_path):
        pass


def test_state_directory_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    with pytest.raises(StateError, match="SEQUENCE_STATE_DIR"), state_lock.held(tmp_path / "file" / "state"):
        pass


def test_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_port_free(server.getsockname()[1])
    assert is_port_free(free_port())
