"""Runs every library of the matrix against one gateway, several at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.sdk import chromium
from tests.sdk.install import SdkReport
from tests.sdk.libraries import Library, Machine
from tests.sdk.proxy import FaultyProxy, items, message_ids
from tests.sdk.senders import Target

GATEWAY = {"SEQUENCE_GATEWAY_CORS_ORIGINS": "*"}
"""Settings of the gateway: pages from files, whose origin is `null`, and from a site on any port send to it."""
_CONCURRENT_RUNS = 6


@dataclass(frozen=True, slots=True)
class LibraryRun:
    """What a library sent."""

    library: Library
    report: SdkReport
    proxy: FaultyProxy

    @property
    def user(self) -> str:
        """The user of its items."""
        return user_of(self.library)

    @property
    def ids(self) -> set[str]:
        """The messageIds of the items in its requests."""
        return {name for body in self.proxy.bodies for name in message_ids(items(body))}


def user_of(library: Library) -> str:
    """Return the user whose items *library* sends."""
    return f"library-{library.key}"


def run_all(chosen: Iterable[Library], machine: Machine, *, gateway: str, token: str) -> list[LibraryRun]:
    """Run *chosen* against the *gateway* with *token*, except those that this machine cannot run."""
    context = chromium.server_context()

    def run(library: Library) -> LibraryRun:
        faulty = FaultyProxy(gateway, library.faults, context=context if library.tls else None)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory, faulty as proxy:
            target = Target(proxy, token, user_of(library), Path(directory), machine.sdks)
            return LibraryRun(library, library.send(target), proxy)

    with ThreadPoolExecutor(_CONCURRENT_RUNS) as pool:
        return list(pool.map(run, [library for library in chosen if library.needs not in machine.missing]))
