"""The projects of a worker in memory, as `ProjectFollower` has them."""

from __future__ import annotations

from schemas.erasure import Erasure, user_digest
from schemas.field_rules import HashKey
from schemas.project_table import ProjectTable
from schemas.projects import Entry, ProjectCreation, encode_entry

CLUSTER = "cluster"
HASH_KEY = b"k" * 32


class MemoryProjects:
    """The project `p` with a secret, and what is added."""

    def __init__(self) -> None:
        self.table = ProjectTable()
        self.cluster_id = CLUSTER
        self.refreshed = 0
        """Number of calls of `refresh`."""
        self.add(ProjectCreation("p", "Shop", 1), "0" * 16)
        self.add(HashKey(HASH_KEY), "1" * 16)

    def add(self, entry: Entry, part: str = "") -> None:
        """Apply the record of *entry*."""
        self.table.apply(*encode_entry(entry, "p", part))

    def erase(
        self, name: str, *users: str, items: int = 0, rejections: int = 0, requested_at: int = 1,
        since: int | None = None, until: int | None = None, cluster_id: str = CLUSTER,
    ) -> Erasure:  # fmt: skip
        """Add the erasure *name* of *users*, which covers offsets of every partition below *items* and *rejections*."""
        digests = tuple(user_digest(HASH_KEY, user) for user in users)
        erasure = Erasure(
            requested_at, digests, cluster_id, 1, (items,) * 4, (rejections,) * 4, since=since, until=until
        )
        self.add(erasure, name)
        return erasure

    async def refresh(self) -> None:
        """Return at once: the table has everything."""
        self.refreshed += 1
