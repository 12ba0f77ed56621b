"""Handles one ingest request: authenticate, read and validate the body, publish to Kafka, respond.

`handle` does these steps for aiohttp; `gateway.http.direct` calls the same steps without it. Per-item work is done on
lists, in `gateway.ingest` and `schemas.records`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from aiohttp import web

from gateway.admission import LoopThrottle, MemoryBudget, ProjectRates, ProjectShares, Reservation
from gateway.disk import FreeSpace
from gateway.errors import KafkaDiskLowError, OverloadedError, ProjectDisabledError, UnauthorizedError
from gateway.http.request_id import REQUEST_ID
from gateway.http.responses import Reply, batch_reply, json_response
from gateway.http.time_share import TimeShare
from gateway.http.unauthenticated import UnauthenticatedRequests
from gateway.ingest.body import BodyLimits, read_body
from gateway.ingest.envelope import Limits, parse_envelope
from gateway.ingest.field_rules import rules_of
from gateway.ingest.rejections import Code, RejectedItem
from gateway.ingest.rules import PathType
from gateway.ingest.suppression import without_suppressed
from gateway.ingest.validate import BatchResult, validate_items
from gateway.kafka.publisher import Publisher
from gateway.metrics import GatewayMetrics
from gateway.projects.auth import agree, read_token
from gateway.projects.registry import ProjectSource
from gateway.settings import GatewaySettings
from schemas.items import Rejection
from schemas.project_table import Grant
from schemas.projects import Project
from schemas.records import KeyValue, keyed_items, rejection_record
from schemas.times import format_time
from schemas.topics import Topics

_LARGE_BODY_BYTES = 128 * 1024
_USUAL_BODY_SECONDS = 0.025
_SLOW_BODY_SHARE = 0.25
"""Share of the event loop's time for a project's large bodies if they take longer than usual ones to validate.

Each project has its own, so that the bodies of another project do not wait for them.
"""


class IngestRequest(NamedTuple):
    """What an ingest request says beside its token and its body."""

    item_type: PathType | None
    """Type of the single item, None for a batch."""
    verbose: bool
    request_id: str


class Received(NamedTuple):
    """A request whose body has arrived."""

    grant: Grant
    body: bytes
    header_token: str | None
    reservation: Reservation


class Published(NamedTuple):
    """What is kept of a request while it waits for Kafka's acknowledgement.

    Its body, items and records are freed before the wait, so that the next request finds their memory free and still in
    the processor's cache.
    """

    reply: Reply
    accepted: int
    rejected: Mapping[str, int]
    warnings: Mapping[str, int]
    project_id: str
    acknowledged: asyncio.Future[None]
    reservation: Reservation
    """Its share is held until the acknowledgement."""


class IngestHandler:
    """Handles the requests of every ingest endpoint. One instance serves the process."""

    def __init__(
        self,
        settings: GatewaySettings,
        publisher: Publisher,
        projects: ProjectSource,
        metrics: GatewayMetrics,
        budget: MemoryBudget,
    ) -> None:
        self._publisher = publisher
        self._projects = projects
        self._metrics = metrics
        self._budget = budget
        self.space = FreeSpace(settings.kafka.min_free_bytes)
        """Free disk space of the brokers. While it is low, every request is refused."""
        self._body_limits = BodyLimits.of(settings)
        self.largest_usual_bytes = min(_LARGE_BODY_BYTES, self._body_limits.body_bytes)
        """Size up to which a body that is not compressed needs no time share, and is within the limit."""
        self._shares = ProjectShares(project_share(settings))
        self._unauthenticated = UnauthenticatedRequests(settings, projects)
        self.throttle = LoopThrottle()
        self._slow_bodies: defaultdict[str, TimeShare] = defaultdict(
            partial(TimeShare, _SLOW_BODY_SHARE, time.monotonic, free_seconds=_USUAL_BODY_SECONDS)
        )
        self._rates = ProjectRates()
        self._limits = Limits(settings.batch_limit_items, settings.item_limit_bytes)
        topics = Topics(settings.kafka.topic_prefix)
        self._items_topic, self._rejected_topic = topics.items, topics.rejected

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of request bodies and unacknowledged records in memory."""
        return self._budget.reserved_bytes + self._unauthenticated.budget.reserved_bytes

    async def handle(self, request: web.Request, item_type: PathType | None = None) -> web.Response:
        """Ingest the items of the body's `batch`, or the body as one item of *item_type*."""
        started = time.perf_counter()
        published = await self._publish(request, item_type)
        try:
            await published.acknowledged
        finally:
            published.reservation.release()
        self.count(published, time.perf_counter() - started)
        return json_response(*published.reply)

    async def _publish(self, request: web.Request, item_type: PathType | None) -> Published:
        body = None
        header_token = token = read_token(request.headers)
        if token is None:
            token, body = await self._unauthenticated.receive(request)
        # Before the body is read or parsed, so that rejecting a flood is cheap.
        grant, reservation = self._admit(token)
        try:
            if body is None:
                body = await read_body(request, self._body_limits, reservation)
            else:
                reservation.reserve(len(body))
            await self.throttle.next_tick(len(body))
            received = Received(grant, body, header_token, reservation)
            verbose = request.query_string == "" or request.query.get("verbose") != "0"
            said = IngestRequest(item_type, verbose, request[REQUEST_ID])
            if len(body) <= _LARGE_BODY_BYTES:
                return self.publish(received, said)
            return await self._slow_bodies[grant.project.id].run(partial(self.publish, received, said))
        except BaseException:
            reservation.release()
            raise

    def receive(self, token: str, body: bytes) -> Received:
        """Return the request with *token* in its headers and *body*, within the limits of its project."""
        grant, reservation = self._admit(token)
        try:
            reservation.reserve(len(body))
        except OverloadedError:
            reservation.release()
            raise
        return Received(grant, body, token, reservation)

    def publish(self, received: Received, request: IngestRequest) -> Published:
        """Validate the body and hand its records to the publisher. On errors, the caller releases the reservation."""
        grant, body, header_token, reservation = received
        reservation.check_share()
        received_at = time.time_ns() // 1000
        self._metrics.body_bytes.inc(len(body))
        limits = self._limits_of(grant.project)
        envelope = parse_envelope(body, item_type=request.item_type, limits=limits)
        if header_token is None or envelope.write_key is not None:
            grant = self._authenticate(agree(header_token, envelope.write_key))
            if (own := self._limits_of(grant.project)) != limits:
                limits = own
                envelope = parse_envelope(body, item_type=request.item_type, limits=limits)
        project_id = grant.project.id
        self._spend_rate(grant.project, envelope.count)
        result = validate_items(
            envelope, project_id=project_id, received_at=received_at, token_id=grant.token_id, limits=limits
        )
        if grant.project.suppressed:
            result = without_suppressed(result, grant.project.suppressed, grant.project.hash_key)
        if grant.project.field_rules:
            result = rules_of(grant.project).apply(result)
        reply = batch_reply(result, verbose=request.verbose, request_id=request.request_id)
        charged_before = self._budget.reserved_bytes
        acknowledged = self._publisher.publish(self._records(grant, result, received_at, request.request_id))
        # The publisher charges the bytes of the records before it returns.
        reservation.cover(self._budget.reserved_bytes - charged_before)
        reservation.release_memory()
        return Published(
            reply=reply,
            accepted=len(result.accepted),
            rejected=Counter(rejected.code for rejected in result.rejected) if result.rejected else {},
            warnings=_warnings(result) if result.has_warnings else {},
            project_id=project_id,
            acknowledged=acknowledged,
            reservation=reservation,
        )

    def count(self, published: Published, seconds: float) -> None:
        """Count a request that Kafka has acknowledged *seconds* after its headers."""
        self._metrics.accepted_items.inc(published.accepted)
        for code, count in published.rejected.items():
            self._metrics.rejected_items.labels(code).inc(count)
        self._metrics.count_items(published.project_id, published.accepted, sum(published.rejected.values()))
        for code, count in published.warnings.items():
            self._metrics.warnings.labels(published.project_id, code).inc(count)
        self._metrics.request_seconds.observe(seconds)

    def _admit(self, token: str | None) -> tuple[Grant, Reservation]:
        grant = self._authenticate(token)
        if self.space.is_low:
            raise KafkaDiskLowError
        self._check_rate(grant.project)
        return grant, Reservation(self._budget, self._shares, grant.project.id)

    def _check_rate(self, project: Project) -> None:
        if (rate := project.rate()) is not None:
            self._rates.check(project.id, rate, time.monotonic())

    def _spend_rate(self, project: Project, count: int) -> None:
        if (rate := project.rate()) is not None:
            self._rates.spend(project.id, rate, count, time.monotonic())

    def _limits_of(self, project: Project) -> Limits:
        if project.item_bytes is None or project.item_bytes >= self._limits.item_bytes:
            return self._limits
        return Limits(self._limits.batch_items, project.item_bytes)

    def _authenticate(self, token: str | None) -> Grant:
        grant = self._projects.find_and_record_use(token) if token else None
        if grant is None:
            raise UnauthorizedError
        if grant.project.disabled:
            raise ProjectDisabledError
        return grant

    def _records(
        self, grant: Grant, result: BatchResult, received_at: int, request_id: str
    ) -> dict[str, list[KeyValue]]:
        """Return the records of accepted and rejected items: a reply reports only what is stored durably."""
        records = {self._items_topic: keyed_items(grant.project.id, result.accepted)}
        if result.rejected:
            rejected_at = format_time(received_at)
            records[self._rejected_topic] = [
                _rejection(grant, item, rejected_at, request_id) for item in result.rejected
            ]
        return records


def _warnings(result: BatchResult) -> Counter[str]:
    return Counter(warning.code for item in result.accepted for warning in item.warnings)


def project_share(settings: GatewaySettings) -> int:
    """Return how many bytes of requests in flight one project may hold: half of all, but at least one request."""
    return max(settings.in_flight_limit_bytes // 2, settings.wire_limit_bytes + settings.body_limit_bytes)


def _rejection(grant: Grant, item: RejectedItem, rejected_at: str, request_id: str) -> KeyValue:
    rejection = Rejection(
        grant.project.id, "gateway", item.code, item.message, rejected_at, item.field, item.message_id,
        # A producer may have made the request ID of a user ID.
        request_id=None if item.code is Code.SUPPRESSED else request_id, token_id=grant.token_id,
    )  # fmt: skip
    record = rejection_record(rejection, item.content)
    return record.key, record.value
