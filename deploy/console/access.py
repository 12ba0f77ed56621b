"""Who asks: the viewer that a token or the cookie of a session stands for, and which projects the viewer sees."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from aiohttp import web

from deploy.console.errors import BusyError, ForbiddenError, LoginError, UnknownError
from deploy.console.session import COOKIE, Sessions
from gateway.errors import UnauthorizedError
from gateway.projects.auth import read_token
from schemas.project_table import ProjectTable
from schemas.projects import Project, digest


class Projects(Protocol):
    """The projects and tokens, followed on `projects.v1`."""

    @property
    def table(self) -> ProjectTable | None:
        """The table as it is now; None until it was read."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A valid token: of one project, or of an operator."""

    token_digest: str
    scope: Literal["read", "operate"]
    project_id: str | None
    """None for an operator, who sees all projects."""

    def require_operator(self, about: str) -> None:
        """Raise `ForbiddenError` for the reader of a project; *about* is a sentence."""
        if self.scope != "operate":
            raise ForbiddenError(
                "operators_only", f"{about} Use the token of an operator: `sequence token create --scope operate`."
            )


class Access:
    """Decides by the table of tokens as it is at the time of each question."""

    def __init__(self, projects: Projects, sessions: Sessions) -> None:
        self._projects = projects
        self.sessions = sessions

    def viewer(self, request: web.Request) -> Viewer:
        """Return who sent *request*; raises `LoginError`, `ForbiddenError` and, at the start, `BusyError`."""
        try:
            token = read_token(request.headers)
        except UnauthorizedError:
            raise LoginError from None
        if token is not None:
            return self.of_digest(digest(token))
        cookie = request.cookies.get(COOKIE)
        token_digest = None if cookie is None else self.sessions.read(cookie, time.time())
        if token_digest is None:
            raise LoginError
        return self.of_digest(token_digest)

    def of_digest(self, token_digest: str) -> Viewer:
        """Return the viewer of the token with the digest; raises as `viewer` does."""
        table = self._table()
        token = table.find(token_digest, time.time_ns() // 1000)
        if token is None:
            raise LoginError
        if token.scope == "operate":
            return Viewer(token_digest, "operate", None)
        if token.scope == "write":
            raise ForbiddenError(
                "write_token",
                "This token sends events and reads nothing. Create one that reads its project with `sequence token "
                f"create {token.project_id} --scope read`.",
            )
        project = table.projects.get(token.project_id)
        if project is None:
            raise LoginError
        if project.disabled:
            raise ForbiddenError(
                "project_disabled",
                f"The project is disabled. Enable it with `sequence project update {project.id} --enable`.",
            )
        return Viewer(token_digest, "read", project.id)

    def is_valid(self, viewer: Viewer) -> bool:
        """Return whether *viewer* may still read. An open stream asks again and again."""
        try:
            return self.of_digest(viewer.token_digest) == viewer
        except (LoginError, ForbiddenError):
            return False

    def project(self, viewer: Viewer, asked: str) -> str | None:
        """Return the project that *viewer* asks about, None for all; *asked* is empty without the parameter.

        Raises `ForbiddenError` for another project than the viewer's own, whether it exists or not, and `UnknownError`
        for an operator.
        """
        if viewer.project_id is not None:
            if asked and asked != viewer.project_id:
                raise ForbiddenError(
                    "other_project",
                    f"This token is for the project {viewer.project_id}. Leave out `project`, or use a token of the "
                    "other project.",
                )
            return viewer.project_id
        if asked and asked not in self._table().projects:
            raise UnknownError(
                "project_unknown", f"There is no project {asked[:64]!r}. `sequence project list` shows all."
            )
        return asked or None

    def projects(self, viewer: Viewer) -> Iterable[Project]:
        """Return the projects that *viewer* sees, by ID."""
        found = self._table().projects
        shown = found.values() if viewer.project_id is None else [found[viewer.project_id]]
        return sorted(shown, key=lambda project: project.id)

    def _table(self) -> ProjectTable:
        table = self._projects.table
        if table is None:
            raise BusyError("starting", "The console has not read the tokens from Kafka yet. Try again in a moment.")
        return table
