"""`/test/`: a test service for tracking code, on the local stack. Exact for every item that was answered before.

Tests reset it, let a page or a program send, and assert on what the gateway accepted and rejected. It reads Kafka, so
that it is ahead of the tables.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from deploy.console import parameters, test_service_items
from deploy.console.access import Access
from deploy.console.errors import ParameterError, UnknownError
from deploy.console.items import Item
from deploy.console.test_service_items import Wanted
from deploy.console.test_service_log import Log
from gateway.errors import MethodNotAllowedError
from gateway.http.responses import json_response
from schemas.settings import KafkaSettings
from schemas.topics import Topics

TYPES = ("track", "identify")
_FILTERS = ("project", "event", "userId", "type")

_encode = msgspec.json.Encoder().encode


class Found(msgspec.Struct):
    """A reply."""

    count: int
    items: list[Item]


class Accepted(Found):
    """A reply with the number of items that repeat a messageId, which are not among its items."""

    duplicates: int


class TestService:
    """The handlers."""

    __test__ = False  # pytest takes classes with this name for tests

    def __init__(self, kafka: KafkaSettings, access: Access, *, is_on: bool) -> None:
        topics = Topics(kafka.topic_prefix)
        self._items, self._rejected = topics.items, topics.rejected
        self._log = Log(kafka, (self._items, self._rejected))
        self._access = access
        self._is_on = is_on

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/test/accepted", self.accepted, allow_head=False),
            web.get("/test/rejected", self.rejected, allow_head=False),
            web.post("/test/reset", self.reset),
            web.get("/test/reset", self.refuse_get, allow_head=False),
        ]

    async def accepted(self, request: web.Request) -> web.Response:
        """Answer with the accepted items, each messageId once."""
        project_id, found = self._asked(request, _FILTERS)
        records = await self._log.read(project_id, self._items)
        items, duplicates = test_service_items.accepted(records, Wanted.of(found))
        return json_response(_encode(Accepted(len(items), items, duplicates)))

    async def rejected(self, request: web.Request) -> web.Response:
        """Answer with the rejected items."""
        project_id, found = self._asked(request, (*_FILTERS, "code"))
        records = await self._log.read(project_id, self._rejected)
        items = test_service_items.rejected(records, Wanted.of(found))
        return json_response(_encode(Found(len(items), items)))

    async def reset(self, request: web.Request) -> web.Response:
        """Forget what the project has sent so far. Nothing is deleted."""
        project_id, _ = self._asked(request, ("project",))
        await self._log.reset(project_id)
        return json_response(_encode(Found(0, [])))

    async def refuse_get(self, _: web.Request) -> web.Response:
        """Say that a reset is no GET, which it is elsewhere: a browser or a proxy may send a GET by itself."""
        raise MethodNotAllowedError("Send POST to /test/reset. A GET changes nothing.", ("POST",))

    def _asked(self, request: web.Request, names: tuple[str, ...]) -> tuple[str, dict[str, str]]:
        """Return the project of the request and its parameters."""
        if not self._is_on:
            raise UnknownError(
                "test_service_off",
                "The test service is off. `sequence up` turns it on; elsewhere set SEQUENCE_CONSOLE_TEST_SERVICE=true.",
            )
        viewer = self._access.viewer(request)
        found = parameters.read(request.query, names)
        if (kind := found.get("type")) not in (None, *TYPES):
            raise ParameterError(f"type: must be one of {', '.join(TYPES)}, got {kind!r}.")
        project_id = self._access.project(viewer, found.get("project", ""))
        if project_id is None:
            raise ParameterError("project: must be given with the token of an operator, who sees all projects.")
        return project_id, found
