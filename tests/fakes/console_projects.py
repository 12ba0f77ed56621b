"""Projects and tokens of a console, in memory: a token of each scope, and one of each kind that is refused."""

from __future__ import annotations

import asyncio

from gateway.errors import UnavailableError
from schemas.project_table import ProjectTable
from schemas.projects import (
    ProjectCreation,
    Revocation,
    Scope,
    describe_token,
    digest,
    encode_entry,
    new_creation,
    new_token,
)


class ConsoleProjects:
    """The projects `dev` and `other`. `is_loaded` is for the test to switch."""

    def __init__(self) -> None:
        self._table = ProjectTable()
        self.is_loaded = True
        for project in ("dev", "other"):
            self.apply(*encode_entry(ProjectCreation(project, project.title(), 1), project, new_creation()))
        self.read = self.add("dev", "read")
        self.other = self.add("other", "read")
        self.write = self.add("dev", "write")
        self.operate = self.add("", "operate")
        self.expired = self.add("dev", "read", expires_at=2)
        self.revoked = self.add("dev", "read")
        self.revoke(self.revoked)

    @property
    def table(self) -> ProjectTable | None:
        """The table; None until it was read."""
        return self._table if self.is_loaded else None

    def apply(self, key: bytes, value: bytes) -> None:
        """Apply a record of `projects.v1`."""
        self._table.apply(key, value)

    def add(self, project_id: str, scope: Scope, *, expires_at: int | None = None) -> str:
        """Create a token and return it."""
        token = new_token(project_id)
        created = describe_token(token, project_id, created_at=1, expires_at=expires_at, scope=scope)
        self.apply(*encode_entry(created, digest(token), new_creation()))
        return token

    def revoke(self, token: str) -> None:
        """Revoke *token*."""
        self.apply(*encode_entry(Revocation(2), digest(token)))

    async def run(self) -> None:
        """Follow nothing."""
        await asyncio.Event().wait()

    def check(self) -> None:
        """Raise `UnavailableError` while switched off."""
        if not self.is_loaded:
            raise UnavailableError("The test has switched the projects off.")
