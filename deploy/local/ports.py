"""Finds out, before anything starts, whether the ports that will be listened on are free."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic, sleep

from deploy.errors import PortTakenError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a part listens on, and the setting that moves it."""

    number: int
    part: str
    variable: str


def check(
    ports: Iterable[Port], *, patience_seconds: float = 3.0, is_free: Callable[[int], bool] | None = None
) -> None:
    """Return when every port is free; raise `PortTakenError` with a line for each that is not, or is named twice.

    The patience is for a stack that was killed a moment ago and whose parts are just ending.
    """
    ports = list(ports)
    faults = _named_twice(ports)
    deadline = monotonic() + patience_seconds
    probe = is_free or is_port_free
    while not faults and (taken := [port for port in ports if not probe(port.number)]):
        if monotonic() >= deadline:
            faults = [
                f"Port {port.number} for {port.part} is taken by another process; {port.variable} moves it."
                for port in taken
            ]
        else:
            sleep(0.1)
    if faults:
        raise PortTakenError("\n".join(faults))


def _named_twice(ports: list[Port]) -> list[str]:
    owners: dict[int, Port] = {}
    faults: list[str] = []
    for port in ports:
        other = owners.setdefault(port.number, port)
        if other is not port:
            faults.append(
                f"Port {port.number} is meant for {other.part} and for {port.part}; "
                f"{other.variable} or {port.variable} moves one of them."
            )
    return faults


def is_port_free(number: int) -> bool:
    """Return whether nobody listens on port *number* of this machine."""
    with socket.socket() as client:
        client.settimeout(1.0)
        if client.connect_ex((HOST, number)) == 0:
            return False
    with socket.socket() as server:
        # As the parts themselves do: connections that are fading away do not count.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, number))
        except OSError:
            return False
    return True
