"""The guard of the unit tests works."""

from __future__ import annotations

import socket

import pytest


def test_a_unit_test_cannot_open_a_socket(no_sockets: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match="opens a socket"):
        socket.create_connection(("127.0.0.1", 9))

    assert no_sockets
    no_sockets.clear()


async def test_an_event_loop_still_runs() -> None:
    left, right = socket.socketpair()
    left.close()
    right.close()
