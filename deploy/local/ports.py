"""Port check of the local stack: reports every port that is in use before the first service starts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.errors import PortInUseError

HOST = "127.0.0.1"
_LARGEST = 65535


@dataclass(frozen=True, slots=True)
class Port:
    """A port that *service* listens on, and the setting *variable* that changes it."""

    number: int
    service: str
    variable: str


def check(ports: Iterable[Port], *, wait_seconds: float = 3.0, is_free: Callable[[int], bool] | None = None) -> None:
    """Raise `PortInUseError` with a line for each port that is in use or configured for two services.

    Waits up to *wait_seconds* for ports in use: services of a stack that was just killed may still be exiting.
    """
    ports = list(ports)
    if conflicts := [*_too_large(ports), *_conflicts(ports)]:
        raise PortInUseError("\n".join(conflicts))
    is_free = is_free or is_port_free

    def find_used() -> list[Port]:
        return [port for port in ports if not is_free(port.number)]

    retrying = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(wait_seconds),
        wait=wait_fixed(0.1),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    if used := retrying(find_used):
        raise PortInUseError(
            "\n".join(
                f"Port {port.number} for {port.service} is in use by another process. "
                f"Stop that process or set {port.variable} to another port."
                for port in used
            )
        )


def _too_large(ports: list[Port]) -> list[str]:
    """Return a message for each port that does not exist: the processes of one kind use consecutive ports."""
    return [
        f"Port {port.number} for {port.service} is above {_LARGEST}. Set {port.variable} to a lower port."
        for port in ports
        if port.number > _LARGEST
    ]


def _conflicts(ports: list[Port]) -> list[str]:
    owners: dict[int, Port] = {}
    conflicts: list[str] = []
    for port in ports:
        owner = owners.setdefault(port.number, port)
        if owner is not port:
            conflicts.append(
                f"Port {port.number} is configured for {owner.service} and for {port.service}. "
                f"Change {owner.variable} or {port.variable}."
            )
    return conflicts


def free_ports(count: int) -> list[int]:
    """Return *count* different ports of this machine on which no process listens."""
    with ExitStack() as held:
        return [held.enter_context(socket.create_server((HOST, 0))).getsockname()[1] for _ in range(count)]


def is_port_free(number: int) -> bool:
    """Return whether no process listens on port *number* of this machine."""
    with socket.socket() as client:
        client.settimeout(1.0)
        if client.connect_ex((HOST, number)) == 0:
            return False
    with socket.socket() as server:
        # As the services do: connections in TIME_WAIT do not block the port.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, number))
        except OSError:
            return False
    return True
