"""Projects and tokens in memory, kept in the same `ProjectTable` as those of the registry."""

from __future__ import annotations

import time

from gateway.errors import UnavailableError
from gateway.projects.table import ProjectTable
from schemas.projects import Project, describe_token, digest, project_entry, token_entry


class MemoryProjects:
    """Authenticates the tokens that a test adds; `is_current` is for the test to switch."""

    def __init__(self) -> None:
        self.table = ProjectTable()
        self.is_current = True

    def add(self, project: Project, *tokens: str, expires_at: int | None = None) -> None:
        """Add *project* with *tokens*."""
        self.table.apply(*project_entry(project))
        for token in tokens:
            described = describe_token(token, project.id, created_at=0, expires_at=expires_at)
            self.table.apply(*token_entry(digest(token), described))

    async def start(self) -> None:
        """Do nothing: memory is always available."""

    def find_and_record_use(self, token: str) -> Project | None:
        """Return the project of a valid *token* and record its use."""
        return self.table.find_and_record_use(token, time.time_ns() // 1000)

    def pop_unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens used since the last call whose use on *day* is not recorded."""
        return self.table.pop_unrecorded_uses(day)

    def check(self) -> None:
        """Raise `UnavailableError` while switched off."""
        if not self.is_current:
            raise UnavailableError("The test has switched the projects off.")

    async def close(self) -> None:
        """Do nothing."""
