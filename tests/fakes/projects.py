"""Projects and tokens from memory, kept in the same `Directory` as the followed ones."""

from __future__ import annotations

import time

from gateway.errors import UnavailableError
from schemas.projects import Directory, Project, describe_token, digest, project_entry, token_entry


class MemoryProjects:
    """Knows what the test adds."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.followed = True

    def add(self, project: Project, *tokens: str, expires_at: int | None = None) -> None:
        """Add *project* with *tokens*."""
        self.directory.apply(*project_entry(project))
        for token in tokens:
            described = describe_token(token, project.id, created_at=0, expires_at=expires_at)
            self.directory.apply(*token_entry(digest(token), described))

    async def start(self) -> None:
        """Do nothing: memory is always there."""

    def find(self, token: str) -> Project | None:
        """Return the project that *token* opens now."""
        return self.directory.find(token, time.time_ns() // 1000)

    def unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens that were used since this was asked last and have no record of *day* yet."""
        return self.directory.unrecorded_uses(day)

    def check(self) -> None:
        """Raise while the test has switched it off."""
        if not self.followed:
            raise UnavailableError("switched off")

    async def close(self) -> None:
        """Do nothing."""
