"""The guard against sockets in unit tests."""

from __future__ import annotations

import socket

import pytest


def test_opening_a_socket_fails_a_unit_test(no_sockets: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match="opens a socket"):
        socket.create_connection(("127.0.0.1", 9))

    assert no_sockets
    no_sockets.clear()


async def test_event_loop_may_open_its_socket_pair() -> None:
    left, right = socket.socketpair()
    left.close()
    right.close()
