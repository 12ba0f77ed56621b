"""The handlers of `/api/` about the catalogue, typed views and the history of persons."""

from __future__ import annotations

import msgspec
from aiohttp import web

from deploy.console import catalog, history, parameters, views
from deploy.console.asking import Asking, Question, identifier, names_of
from deploy.console.catalog import Asked
from deploy.console.errors import ParameterError
from gateway.http.responses import json_response

_encode = msgspec.json.Encoder().encode


class TablesApi:
    """The handlers."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/catalog", self.catalog, allow_head=False),
            web.get("/api/catalog/paths", self.paths, allow_head=False),
            web.get("/api/views", self.view, allow_head=False),
            web.get("/api/views/{event:[^/]+}", self.view, allow_head=False),
            web.get("/api/history", self.history, allow_head=False),
            web.get("/api/persons/{userId:[^/]+}/history", self.history, allow_head=False),
        ]

    async def catalog(self, request: web.Request) -> web.Response:
        """Answer with events and traits."""
        question = self._asking.question(request, ("project", "kind", "conflicts"))
        conflicts = question.found.get("conflicts", "false")
        if conflicts not in {"true", "false"}:
            raise ParameterError(f"conflicts: must be true or false, got {conflicts!r}.")
        asked = Asked(
            question.match.project_id, parameters.read_kind(question.found), only_conflicts=conflicts == "true"
        )
        found = await self._asking.query(lambda clickhouse: catalog.listed(clickhouse, asked), narrow="project or kind")
        return json_response(_encode(found))

    async def paths(self, request: web.Request) -> web.Response:
        """Answer with the paths of an event or of the traits."""
        question = self._asking.question(request, ("project", "kind", "event"))
        event = _event(question, question.match.event)
        asked = Asked(self._asking.one_project(question), "trait" if event is None else "event", event)
        return json_response(_encode(await self._asking.query(lambda clickhouse: catalog.one(clickhouse, asked))))

    async def view(self, request: web.Request) -> web.Response:
        """Answer with the typed view of an event or of the users."""
        question = self._asking.question(request, names_of(request, "event", "kind"))
        named = request.match_info.get("event") or question.match.event
        event = _event(question, None if named is None else parameters.checked("event", named))
        project_id = self._asking.one_project(question)
        found = await self._asking.query(lambda clickhouse: views.find(clickhouse, project_id, event))
        return json_response(_encode(found))

    async def history(self, request: web.Request) -> web.Response:
        """Answer with the values that the traits of a person had."""
        question = self._asking.question(request, names_of(request, "userId", "trait"))
        user_id = identifier(request, question.found, "userId")
        projects, trait = self._asking.projects(question), question.found.get("trait")
        found = await self._asking.query(
            lambda clickhouse: history.find(clickhouse, projects, user_id, trait), narrow="project or trait"
        )
        return json_response(_encode(found))


def _event(question: Question, event: str | None) -> str | None:
    """Return the event that *question* is about, None for the traits; raises `ParameterError` unless it is one."""
    kind = parameters.read_kind(question.found)
    if kind == "trait" and event is not None:
        raise ParameterError("event: traits belong to no event. Leave out event or kind.")
    if kind != "trait" and event is None:
        raise ParameterError("event: must not be empty. Use kind=trait for the traits of users.")
    return event
