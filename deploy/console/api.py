"""The handlers of `/api/`: who asks, what is asked, and the answer as JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec
from aiohttp import web

from deploy.console import event_search, parameters, persons, rejections
from deploy.console.access import Access, Viewer
from deploy.console.asking import Asking, identifier, names_of
from deploy.console.audits import RememberedAudit, ShownAudit
from deploy.console.errors import ParameterError
from deploy.console.event_search import Page
from deploy.console.items import Item
from deploy.console.live import Live
from deploy.console.live_stream import LiveSender
from deploy.console.rates import RateCache
from deploy.console.rejections import Group
from deploy.console.sampler import Sampler
from deploy.console.search_sql import Window
from deploy.console.session import COOKIE, SECONDS
from deploy.console.traces import Traces
from deploy.operate import trace_result
from gateway.http.responses import json_response
from schemas.projects import digest
from schemas.times import END, SECOND

_MATCH = ("project", "userId", "event", "verdict", "search")
_DEFAULT_LIMIT, _MOST = 100, 500

_encode = msgspec.json.Encoder().encode


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    token: str


class _PageReply(msgspec.Struct, rename="camel"):
    items: list[Item]
    next: str | None
    is_complete: bool
    message: str | None = None


class _Groups(msgspec.Struct):
    groups: list[Group]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the handlers ask."""

    access: Access
    asking: Asking
    live: Live
    sender: LiveSender
    sampler: Sampler
    rates: RateCache
    traces: Traces
    audit: RememberedAudit | None
    """None if it is switched off."""


class Api:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the API."""
        return [
            web.post("/api/session", self.log_in),
            web.delete("/api/session", self.log_out),
            web.get("/api/session", self.session, allow_head=False),
            web.get("/api/events", self.events, allow_head=False),
            web.get("/api/live", self.live, allow_head=False),
            web.get("/api/rates", self.rates, allow_head=False),
            web.get("/api/rejected", self.rejected, allow_head=False),
            web.get("/api/persons", self.person, allow_head=False),
            # A name of any characters: those of the default pattern are fewer. A slash is written %2F.
            web.get("/api/persons/{userId:[^/]+}", self.person, allow_head=False),
            web.get("/api/trace", self.trace, allow_head=False),
            web.get("/api/trace/{messageId:[^/]+}", self.trace, allow_head=False),
            web.get("/api/status", self.status, allow_head=False),
            web.get("/api/audit", self.audit, allow_head=False),
        ]

    async def log_in(self, request: web.Request) -> web.Response:
        """Exchange a token for the cookie of a session."""
        parameters.read(request.query, ())
        if request.content_type != "application/json":
            raise ParameterError('Send the token as JSON: {"token": …}, with `Content-Type: application/json`.')
        try:
            login = msgspec.json.decode(await request.read(), type=_Login)
        except (msgspec.DecodeError, UnicodeDecodeError, web.HTTPRequestEntityTooLarge) as error:
            raise ParameterError(f'The body must be {{"token": …}}: {error}.') from error
        access = self._parts.access
        viewer = access.of_digest(digest(login.token.strip()))
        response = self._session(viewer)
        response.set_cookie(
            COOKIE,
            access.sessions.sign(viewer.token_digest, time.time()),
            max_age=SECONDS,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_https(request),
        )
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """Remove the cookie."""
        parameters.read(request.query, ())
        response = json_response(b"{}")
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=_is_https(request))
        return response

    async def session(self, request: web.Request) -> web.Response:
        """Answer who asks."""
        parameters.read(request.query, ())
        return self._session(self._parts.access.viewer(request))

    def _session(self, viewer: Viewer) -> web.Response:
        projects = [{"id": each.id, "name": each.name} for each in self._parts.access.projects(viewer)]
        content = {
            "scope": viewer.scope,
            "projectId": viewer.project_id,
            "projects": projects,
            "version": version("sequence-events"),
        }
        return json_response(_encode(content))

    async def events(self, request: web.Request) -> web.Response:
        """Answer with the newest items."""
        question = self._parts.asking.question(request, (*_MATCH, "since", "until", "limit", "before"))
        match = question.match
        limit = parameters.read_limit(question.found, _DEFAULT_LIMIT, _MOST)
        window = _window(question.found)
        page: Page = await self._parts.asking.query(
            lambda clickhouse: event_search.search(clickhouse, match, window, limit), is_search=match.search is not None
        )
        return json_response(_encode(_PageReply(list(page.items), page.next, page.is_complete, page.message)))

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Send items as they arrive, until the page is closed."""
        question = self._parts.asking.question(request, _MATCH)
        return await self._parts.sender.send(request, self._parts.live.open(question.viewer, question.match))

    async def rates(self, request: web.Request) -> web.Response:
        """Answer with items a second."""
        question = self._parts.asking.question(request, ("project", "since"))
        now = _now()
        since = parameters.read_time(question.found, "since", now)
        seconds = 3600 if since is None else (now - since) // SECOND
        return json_response(_encode(await self._parts.rates.rates(question.match.project_id, seconds)))

    async def rejected(self, request: web.Request) -> web.Response:
        """Answer with groups of rejected items."""
        question = self._parts.asking.question(request, ("project", "since"))
        project_id, now = question.match.project_id, _now()
        since = parameters.read_time(question.found, "since", now)
        at = datetime.fromtimestamp((now - 24 * 3600 * SECOND if since is None else since) / SECOND, UTC)
        groups = await self._parts.asking.query(lambda clickhouse: rejections.groups(clickhouse, project_id, at))
        return json_response(_encode(_Groups(list(groups))))

    async def person(self, request: web.Request) -> web.Response:
        """Answer with a person."""
        asking = self._parts.asking
        question = asking.question(request, names_of(request, "userId"))
        user_id, projects = identifier(request, question.found, "userId"), asking.projects(question)
        window = Window(0, _now() + SECOND)
        person = await asking.query(lambda clickhouse: persons.find(clickhouse, projects, user_id, window))
        return json_response(_encode(person))

    async def trace(self, request: web.Request) -> web.Response:
        """Answer with what became of a messageId."""
        question = self._parts.asking.question(request, names_of(request, "messageId"))
        message_id = identifier(request, question.found, "messageId")
        trace = await self._parts.traces.find(message_id, question.match.project_id)
        return json_response(_encode(trace_result.describe(trace)))

    async def status(self, request: web.Request) -> web.Response:
        """Answer with the state of the parts."""
        parameters.read(request.query, ())
        self._parts.access.viewer(request).require_operator("The state of the parts concerns all projects.")
        return json_response(_encode(self._parts.sampler.status()))

    async def audit(self, request: web.Request) -> web.Response:
        """Answer with the newest result of the repeated audit."""
        parameters.read(request.query, ())
        self._parts.access.viewer(request).require_operator("The audit concerns all projects.")
        audit = self._parts.audit
        return json_response(_encode(ShownAudit(state="off") if audit is None else audit.shown(time.time())))


def _now() -> int:
    return time.time_ns() // 1000


def _window(found: dict[str, str]) -> Window:
    now = _now()
    start = parameters.read_time(found, "since", now) or 0
    until = parameters.read_time(found, "until", now)
    # Clocks of gateways may be a little ahead.
    end = min(END, now + 3600 * SECOND if until is None else until)
    before = event_search.decode_cursor(found["before"]) if "before" in found else None
    if before is not None:
        end = min(end, before.time + 1)
    if start >= end:
        raise ParameterError("since: must be before until.")
    return Window(start, end, before)


def _is_https(request: web.Request) -> bool:
    """Return whether the browser uses TLS. A client can only set more for itself."""
    return request.scheme == "https" or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
