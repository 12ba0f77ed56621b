"""How pytest-xdist divides the tests: a file runs in one pytest worker, with the servers of that worker.

Tests of a file share fixtures of module scope, and some build on the one before. Folders in `SHARED` have fixtures of
package scope.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

SHARED = ("tests/sdk", "tests/integration/console", "tests/integration/console_page")
"""Folders whose files run in one pytest worker."""


def scope_of(nodeid: str) -> str:
    """Return the folder or file whose tests stay together with test *nodeid*."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in SHARED if file.startswith(f"{folder}/")), file)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Hands out whole files in the order of collection, each to the first pytest worker that is free."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
