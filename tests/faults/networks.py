"""Brokers with addresses of their own, so that one can be cut off from the others and still be reached by clients.

Each broker runs in a network namespace with a link to a bridge, on which everything else reaches it. A route that
leads nowhere drops what it sends to the other brokers. Needs root and `ip`.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from deploy.embedded.kafka import Broker
from deploy.local.supervisor import Service

NETWORKS = "SEQUENCE_TEST_NETWORKS"
"""Whether brokers run in namespaces."""
NODES = (1, 2, 3)
_BRIDGE = "sequence0"
_NETWORK = "10.87.0"


def address(node: int) -> str:
    """Return the address of broker *node*."""
    return f"{_NETWORK}.{10 + node}"


def _namespace(node: int) -> str:
    return f"sequence{node}"


def create() -> None:
    """Create the bridge, and a namespace for each broker. What an earlier run left is removed first."""
    remove()
    _ip("link", "add", _BRIDGE, "type", "bridge")
    _ip("address", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
    _ip("link", "set", _BRIDGE, "up")
    for node in NODES:
        namespace, link = _namespace(node), f"sequence{node}v"
        _ip("netns", "add", namespace)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("link", "set", link, "master", _BRIDGE, "up")
        for command in (
            ("address", "add", f"{address(node)}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", namespace, *command)


def remove() -> None:
    """Remove what `create` made."""
    for node in NODES:
        _ip("netns", "delete", _namespace(node), check=False)
    _ip("link", "delete", _BRIDGE, check=False)


@contextlib.contextmanager
def cut_off(node: int) -> Iterator[None]:
    """Drop what broker *node* sends to the others, for the block."""
    others = [address(other) for other in NODES if other != node]
    for other in others:
        _ip("-n", _namespace(node), "route", "add", "blackhole", f"{other}/32")
    try:
        yield
    finally:
        for other in others:
            _ip("-n", _namespace(node), "route", "delete", "blackhole", f"{other}/32")


@dataclass(frozen=True, slots=True)
class AddressedBroker(Broker):
    """A broker that listens on its own address."""

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the broker's configuration."""
        own = address(self.node)
        found = {
            name: value.replace("127.0.0.1", own)
            for name, value in Broker.properties(self, controller_port=controller_port).items()
        }
        voters = ",".join(f"{node}@{address(node)}:{port}" for node, port in self.voters.items())
        return {**found, "controller.quorum.voters": voters}


def addressed(broker: Broker) -> AddressedBroker:
    """Return *broker* with its own address."""
    return AddressedBroker(
        broker.directory, broker.port, broker.jars_directory, broker.fsync,
        json_log=broker.json_log, node=broker.node, voters=broker.voters,
    )  # fmt: skip


def inside(service: Service, node: int) -> Service:
    """Return *service* so that it runs in the namespace of broker *node*."""
    make = service.command
    return replace(service, command=lambda: ["/usr/sbin/ip", "netns", "exec", _namespace(node), *make()])


def servers(ports: Mapping[int, int]) -> str:
    """Return the addresses of the brokers, whose *ports* are given by node."""
    return ",".join(f"{address(node)}:{port}" for node, port in ports.items())


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)
