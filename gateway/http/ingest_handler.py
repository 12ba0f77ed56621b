"""The way of one request: token, body, items, verdicts, Kafka, reply. Nothing here is done per item but lists."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from aiohttp import web

from gateway.admission import MemoryBudget, ProjectRates
from gateway.errors import ProjectDisabledError, UnauthorizedError
from gateway.http.protocol import Connections
from gateway.http.responses import batch_response
from gateway.ingest.body import MemoryReservation, read_body
from gateway.ingest.rejections import RejectedItem
from gateway.ingest.validate import BatchResult, Limits, check_items, read_request
from gateway.kafka.publisher import Publisher
from gateway.metrics import GatewayMetrics
from gateway.projects.auth import agree, read_token
from gateway.projects.registry import ProjectSource
from gateway.settings import GatewaySettings
from gateway.turns import LoopThrottle
from schemas.items import Rejection
from schemas.projects import Project
from schemas.records import KeyValue, keyed_items, rejection_record
from schemas.times import format_time
from schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class Shared:
    """What all requests of a gateway share."""

    budget: MemoryBudget
    connections: Connections = field(default_factory=Connections)
    turns: LoopThrottle = field(default_factory=LoopThrottle)


class _Taken(NamedTuple):
    """What is left of a request while it waits for its records.

    Its body, items and records are let go of before that: the next request finds their memory free and still in the
    processor's cache.
    """

    reply: web.Response
    accepted: int
    refused: Mapping[str, int]
    acknowledged: Awaitable[None]


class IngestHandler:
    """Takes items in. One of it serves all requests."""

    def __init__(
        self,
        settings: GatewaySettings,
        publisher: Publisher,
        projects: ProjectSource,
        metrics: GatewayMetrics,
        shared: Shared,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._projects = projects
        self._metrics = metrics
        self._budget = shared.budget
        self._turns = shared.turns
        self._rates = ProjectRates()
        self._limits = Limits(settings.batch_limit_items, settings.item_limit_bytes)
        self._topics = Topics(settings.kafka.topic_prefix)

    async def collect_batch(self, request: web.Request) -> web.Response:
        """Take the items of `batch`."""
        return await self._collect(request, None)

    async def collect_track(self, request: web.Request) -> web.Response:
        """Take the body as one track."""
        return await self._collect(request, "track")

    async def collect_identify(self, request: web.Request) -> web.Response:
        """Take the body as one identify."""
        return await self._collect(request, "identify")

    async def _collect(self, request: web.Request, item_type: Literal["track", "identify"] | None) -> web.Response:
        started = time.perf_counter()
        held = MemoryReservation(self._budget)
        try:
            taken = await self._take(request, item_type, held)
        finally:
            held.release()
        await taken.acknowledged
        self._metrics.accepted_items.inc(taken.accepted)
        for code, count in taken.refused.items():
            self._metrics.refused_items.labels(code).inc(count)
        self._metrics.request_seconds.observe(time.perf_counter() - started)
        return taken.reply

    async def _take(
        self, request: web.Request, item_type: Literal["track", "identify"] | None, held: MemoryReservation
    ) -> _Taken:
        token = read_token(request.headers)
        project = None if token is None else self._open(token)
        if project is not None:
            # A flood is refused before its bodies are read, so that refusing it costs little.
            self._take_items(project, 0)
        body = await read_body(request, self._settings, held)
        await self._turns.take()
        received_at = time.time_ns() // 1000
        self._metrics.body_bytes.inc(len(body))
        parsed = read_request(body, item_type=item_type, limits=self._limits)
        if project is None or parsed.write_key is not None:
            project = self._open(agree(token, parsed.write_key))
        self._take_items(project, parsed.count)
        verdicts = check_items(parsed, project_id=project.id, received_at=received_at, limits=self._limits)
        verbose = request.query_string == "" or request.query.get("verbose") != "0"
        return _Taken(
            reply=batch_response(verdicts, verbose=verbose),
            accepted=len(verdicts.items),
            refused=Counter(refusal.code for refusal in verdicts.refused) if verdicts.refused else {},
            acknowledged=self._publisher.publish(self._records(project.id, verdicts, received_at)),
        )

    def _take_items(self, project: Project, count: int) -> None:
        """Take *count* items off what the project may send now; `RateLimitedError` where that is used up."""
        rate = project.rate()
        if rate is not None:
            self._rates.take(project.id, rate, count, time.monotonic())

    def _open(self, token: str | None) -> Project:
        project = self._projects.find(token) if token else None
        if project is None:
            raise UnauthorizedError
        if project.disabled:
            raise ProjectDisabledError
        return project

    def _records(self, project_id: str, verdicts: BatchResult, received_at: int) -> dict[str, list[KeyValue]]:
        """Return the records of accepted and refused items, so that a reply never tells of what can be lost."""
        records = {self._topics.items: keyed_items(project_id, verdicts.items)}
        if verdicts.refused:
            rejected_at = format_time(received_at)
            records[self._topics.rejected] = [
                _rejection(project_id, refusal, rejected_at) for refusal in verdicts.refused
            ]
        return records


def _rejection(project_id: str, refusal: RejectedItem, rejected_at: str) -> KeyValue:
    rejection = Rejection(
        project_id, "gateway", refusal.code, refusal.message, rejected_at, refusal.field, refusal.message_id
    )
    record = rejection_record(rejection, refusal.content)
    return record.key, record.value
