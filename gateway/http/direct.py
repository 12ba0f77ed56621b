"""Handles the usual ingest request where it arrives: without the task, request and response of aiohttp.

These cost more than a single item, and most backends send one item a request. What is not usual takes aiohttp's way,
through `gateway.http.routes`. Both ways do the same steps of `IngestHandler` and give the same replies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from aiohttp import HttpVersion11, hdrs
from aiohttp.http import RawRequestMessage

from gateway.http.cors import Cors
from gateway.http.ingest_handler import IngestHandler, IngestRequest, Published, Received
from gateway.http.middleware import count_response, reply_to
from gateway.http.paths import INGEST_PATHS
from gateway.http.request_id import HEADER, request_id_of
from gateway.http.responses import Reply
from gateway.http.tls import HSTS_VALUE, Hsts
from gateway.ingest.body import GZIP_MAGIC
from gateway.metrics import GatewayMetrics
from gateway.projects.auth import read_token

_JSON = "application/json"
_CHARSETS = ("", ";charset=utf-8", "; charset=utf-8", ";charset=UTF-8", "; charset=UTF-8")
_USUAL_TYPES = frozenset({"", *(_JSON + charset for charset in _CHARSETS)})
_TARGETS = {f"{path}{query}": (kind, not query) for path, kind in INGEST_PATHS.items() for query in ("", "?verbose=0")}
"""Request targets: the type of the item, and whether the reply lists accepted items."""


class Connection(Protocol):
    """The connection of a request."""

    @property
    def remote(self) -> str | None:
        """The peer's address."""

    def respond(self, reply: Reply, headers: Mapping[str, str]) -> None:
        """Send *reply* with *headers*, unless the client is gone."""


class DirectHandler(Protocol):
    """Handles requests where they arrive."""

    def take(self, message: RawRequestMessage, body: bytes, connection: Connection) -> bool:
        """Handle the complete request and let *connection* respond once; return False to leave it to aiohttp.

        The response may be sent before this returns.
        """


class DirectRequests:
    """The `DirectHandler` of ingest requests. One instance serves the process."""

    def __init__(self, handler: IngestHandler, metrics: GatewayMetrics, *, cors: Cors, hsts: Hsts) -> None:
        self.handler = handler
        self.metrics = metrics
        self._headers: dict[str, str] = {hdrs.VARY: hdrs.ORIGIN} if cors else {}
        self._hsts = hsts

    def take(self, message: RawRequestMessage, body: bytes, connection: Connection) -> bool:
        """Respond when Kafka has acknowledged the items; return False if the request is not usual."""
        target = _TARGETS.get(message.path)
        if target is None or not self._is_usual(message, body):
            return False
        request_id = request_id_of(message.headers)
        headers = {HEADER: request_id, **self._headers}
        if self._hsts and self._hsts.applies(message.headers, connection.remote):
            headers[hdrs.STRICT_TRANSPORT_SECURITY] = HSTS_VALUE
        exchange = _Exchange(self, connection, headers, IngestRequest(*target, request_id))
        try:
            token = read_token(message.headers)
            if token is None:
                return False
            received = self.handler.receive(token, body)
        except Exception as error:  # noqa: BLE001  # the outermost place of a request
            exchange.fail(error)
        else:
            exchange.start(received)
        return True

    def _is_usual(self, message: RawRequestMessage, body: bytes) -> bool:
        headers = message.headers
        return (
            message.method == hdrs.METH_POST
            and message.version == HttpVersion11
            and not (message.should_close or message.upgrade or message.chunked)
            and headers.get(hdrs.CONTENT_TYPE, "") in _USUAL_TYPES
            and hdrs.CONTENT_ENCODING not in headers
            and hdrs.EXPECT not in headers
            and hdrs.ORIGIN not in headers
            and len(body) <= self.handler.largest_usual_bytes
            and not body.startswith(GZIP_MAGIC)
        )


class _Exchange:
    """A request and its response, which has *headers*."""

    __slots__ = ("_connection", "_direct", "_headers", "_published", "_received", "_request", "_started")

    _received: Received
    _published: Published

    def __init__(
        self, direct: DirectRequests, connection: Connection, headers: dict[str, str], request: IngestRequest
    ) -> None:
        self._started = time.perf_counter()
        self._direct = direct
        self._connection = connection
        self._headers = headers
        self._request = request

    def start(self, received: Received) -> None:
        self._received = received
        self._direct.handler.throttle.call(self._publish, len(received.body))

    def fail(self, error: Exception) -> None:
        self._respond(reply_to(error, self._request.request_id, self._direct.metrics))

    def _publish(self) -> None:
        received = self._received
        del self._received  # Its body is freed before the acknowledgement.
        try:
            self._published = published = self._direct.handler.publish(received, self._request)
        except Exception as error:  # noqa: BLE001  # the outermost place of a request
            received.reservation.release()
            self.fail(error)
        else:
            published.acknowledged.add_done_callback(self._acknowledged)

    def _acknowledged(self, future: asyncio.Future[None]) -> None:
        published = self._published
        published.reservation.release()
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            assert isinstance(error, Exception)  # noqa: S101  # a publisher raises no other
            self.fail(error)
            return
        try:
            self._direct.handler.count(published, time.perf_counter() - self._started)
        except Exception as defect:  # noqa: BLE001  # the outermost place of a request
            self.fail(defect)
        else:
            self._respond(published.reply)

    def _respond(self, reply: Reply) -> None:
        count_response(reply.status, self._direct.metrics)
        self._connection.respond(reply, self._headers)
