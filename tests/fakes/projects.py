"""Projects and tokens in memory, kept in the same `ProjectTable` as those of the registry."""

from __future__ import annotations

import time

from gateway.errors import UnavailableError
from schemas.field_rules import FieldRuleSetting, HashKey
from schemas.project_table import Grant, ProjectTable
from schemas.projects import (
    Burst,
    Disabled,
    ItemLimit,
    Project,
    ProjectCreation,
    Rate,
    describe_token,
    digest,
    encode_entry,
    new_creation,
)


class MemoryProjects:
    """Authenticates the tokens that a test adds; `is_current` is for the test to switch."""

    def __init__(self) -> None:
        self.table = ProjectTable()
        self.is_current = True

    def add(self, project: Project, *tokens: str, expires_at: int | None = None) -> None:
        """Add *project* with *tokens*."""
        created = ProjectCreation(project.id, project.name, project.created_at)
        self.table.apply(*encode_entry(created, project.id, new_creation()))
        self.table.apply(*encode_entry(Disabled(project.disabled), project.id))
        self.table.apply(*encode_entry(Rate(project.items_per_second), project.id))
        if project.burst is not None:
            self.table.apply(*encode_entry(Burst(project.burst), project.id))
        self.table.apply(*encode_entry(ItemLimit(project.item_bytes), project.id))
        self.table.apply(*encode_entry(HashKey(project.hash_key), project.id, new_creation()))
        for rule in project.field_rules:
            self.table.apply(*encode_entry(FieldRuleSetting(rule.action, rule.length), project.id, rule.path))
        for token in tokens:
            described = describe_token(token, project.id, created_at=0, expires_at=expires_at)
            self.table.apply(*encode_entry(described, digest(token), new_creation()))

    async def start(self) -> None:
        """Do nothing: memory is always available."""

    def find_and_record_use(self, token: str) -> Grant | None:
        """Return what a valid *token* permits and record its use."""
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
