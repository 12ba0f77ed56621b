"""What handlers have in common: who asks, about which project, and queries whose limits become replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from deploy.console import parameters
from deploy.console.access import Access, Viewer
from deploy.console.errors import BusyError, ParameterError
from deploy.console.search_sql import Match
from deploy.console.tables import LimitedClickHouse, LimitError, Tables

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks."""

    found: dict[str, str]
    """Its parameters that have a value."""
    match: Match
    """What they match in the projects of the viewer; `project_id` is None for all projects."""
    viewer: Viewer


@dataclass(frozen=True, slots=True)
class Asking:
    """Reads requests, and asks the tables."""

    access: Access
    tables: Tables

    def question(self, request: web.Request, names: tuple[str, ...]) -> Question:
        """Return what *request* asks with parameters of *names*; raises the errors of `Access` and `ParameterError`."""
        viewer = self.access.viewer(request)
        found = parameters.read(request.query, names)
        project_id = self.access.project(viewer, found.get("project", ""))
        match = Match(
            project_id, found.get("userId"), found.get("event"), parameters.read_verdict(found), found.get("search")
        )
        return Question(found, match, viewer)

    def projects(self, question: Question) -> list[str]:
        """Return the project that *question* names, or all that the viewer sees."""
        if question.match.project_id is not None:
            return [question.match.project_id]
        return [each.id for each in self.access.projects(question.viewer)]

    def one_project(self, question: Question) -> str:
        """Return the project of *question*; raises `ParameterError` if it names none of several."""
        known = self.projects(question)
        if len(known) != 1:
            raise ParameterError("project: must not be empty, since the answer is about one project.")
        return known[0]

    async def query(
        self, work: Callable[[LimitedClickHouse], _T], *, narrow: str = "project or since", is_search: bool = False
    ) -> _T:
        """Return what *work* returns; raises `BusyError` at a limit, and the errors of `Tables.run`.

        *narrow* has the parameters with which the query takes less.
        """
        try:
            return await self.tables.run(work, is_search=is_search)
        except LimitError as error:
            what = "memory" if error.is_memory else "time"
            raise BusyError(
                "busy",
                f"The query needs more {what} than one of the console may take. Narrow it with {narrow}.",
            ) from error


def names_of(request: web.Request, name: str, *others: str) -> tuple[str, ...]:
    """Return the parameters of an endpoint whose subject *name* is in the path or a parameter."""
    return ("project", *others) if name in request.match_info else ("project", name, *others)


def identifier(request: web.Request, found: dict[str, str], name: str) -> str:
    """Return the subject *name* of a request; raises `ParameterError` if it is missing."""
    value = request.match_info.get(name) or found.get(name, "")
    if not value:
        raise ParameterError(f"{name}: must not be empty.")
    return parameters.checked(name, value)
