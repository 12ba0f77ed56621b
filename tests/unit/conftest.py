"""Unit tests cannot reach the network: a test that opens a socket fails."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

_FORBIDDEN = {socket.AF_INET, socket.AF_INET6}
_opened: list[str] | None = None
"""Sockets opened by the current test; None outside unit tests."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is None:
        return
    if event == "socket.getaddrinfo" or (event == "socket.__new__" and arguments[1] in _FORBIDDEN):
        _opened.append(event)
        pytest.fail(f"a unit test opens a socket ({event})")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[list[str]]:
    """Fail a test that opens a socket, even when the code under test suppresses the failure."""
    global _opened  # noqa: PLW0603  # an audit hook cannot be removed, so it needs a switch
    opened: list[str] = []
    _opened = opened
    try:
        yield opened
    finally:
        _opened = None
    assert not opened, "a unit test opens a socket"
