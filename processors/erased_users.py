"""The erasures of a user, among those that the projects have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from processors.engine.project_follower import Projects
from schemas.erasure import Erasure, user_digest

NONE: tuple[Erasure, ...] = ()


class ErasedUsers:
    """Finds the erasures of users; follows the projects. Costs a look-up by project if that has no erasures."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._by_project: dict[str, _OfProject] = {}

    def of(self, project_id: str, user_id: str) -> Sequence[Erasure]:
        """Return the erasures of a user in the order of their requests."""
        table = self._projects.table
        erasures, project = table.erasures.get(project_id), table.projects.get(project_id)
        if not erasures or project is None:
            return NONE
        known = self._by_project.get(project_id)
        if known is None:
            known = self._by_project.setdefault(project_id, _OfProject())
        if known.erasures is not erasures:
            known.update(erasures)
        return known.by_user.get(user_digest(project.hash_key, user_id), NONE)

    def of_key(self, key: bytes) -> Sequence[Erasure]:
        """Return the erasures of the person with the key `project/userId`."""
        if not self._projects.table.erasures:
            return NONE
        project_id, _, user_id = key.decode("utf-8", "surrogateescape").partition("/")
        return self.of(project_id, user_id)


class _OfProject:
    """The erasures of one project by user. An erasure may have thousands of users, so only changes are applied."""

    def __init__(self) -> None:
        self.erasures: Mapping[str, Erasure] = {}
        self.by_user: dict[bytes, tuple[Erasure, ...]] = {}

    def update(self, erasures: Mapping[str, Erasure]) -> None:
        """Replace the erasures by *erasures*."""
        for name, known in self.erasures.items():
            if erasures.get(name) is not known:
                for user in known.users:
                    self.by_user[user] = tuple(each for each in self.by_user[user] if each is not known)
        for name, erasure in erasures.items():
            if self.erasures.get(name) is not erasure:
                for user in erasure.users:
                    of_user = (*self.by_user.get(user, NONE), erasure)
                    self.by_user[user] = tuple(sorted(of_user, key=_requested_at)) if len(of_user) > 1 else of_user
        self.erasures = erasures


def _requested_at(erasure: Erasure) -> int:
    return erasure.requested_at
