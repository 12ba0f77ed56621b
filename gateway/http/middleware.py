"""Turns every exception of a handler into a response, gives each response its request's ID, and counts requests."""

from __future__ import annotations

import logging
import traceback

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.errors import OverloadedError, UnexpectedError
from gateway.http.request_id import HEADER, REQUEST_ID, request_id_of
from gateway.http.responses import Reply, as_http_error, error_reply, json_response
from gateway.metrics import GatewayMetrics

log = logging.getLogger(__name__)

METRICS = web.AppKey("METRICS", GatewayMetrics)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the handler's response, or the response that belongs to its exception.

    Requests that are handled directly pass no middleware: `gateway.http.direct` does the same with the functions below.
    """
    metrics = request.app[METRICS]
    request_id = request[REQUEST_ID] = request_id_of(request.headers)
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001  # the outermost place of a request
        response = json_response(*reply_to(error, request_id, metrics))
        if response.status == 408:
            response.force_close()
    response.headers[HEADER] = request_id
    count_response(response.status, metrics)
    return response


def reply_to(error: Exception, request_id: str, metrics: GatewayMetrics) -> Reply:
    """Return the reply to the request that failed with *error*, and count and log the error.

    An unexpected exception is answered with 503, so that the client keeps its items and retries while the defect is
    fixed. The log has the traceback without the exception's message, which could quote the payload.
    """
    answer = as_http_error(error)
    if isinstance(answer, UnexpectedError):
        metrics.unexpected_errors.inc()
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("request %s failed with an unexpected %s\n%s", request_id, type(error).__name__, frames)
    elif isinstance(answer, OverloadedError):
        metrics.overloaded_requests.labels(answer.reason).inc()
    return error_reply(answer, request_id)


def count_response(status: int, metrics: GatewayMetrics) -> None:
    """Count a response."""
    if status == 200:
        metrics.requests_ok.inc()
    else:
        metrics.requests.labels(str(status)).inc()
