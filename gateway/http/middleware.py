"""Turns every exception of a handler into a response, gives each response its request's ID, and counts requests."""

from __future__ import annotations

import logging
import traceback

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.errors import OverloadedError, UnexpectedError
from gateway.http.request_id import HEADER, REQUEST_ID, request_id_of
from gateway.http.responses import as_http_error, error_response
from gateway.metrics import GatewayMetrics

log = logging.getLogger(__name__)

METRICS = web.AppKey("METRICS", GatewayMetrics)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return the handler's response, or the response that belongs to its exception.

    An unexpected exception is answered with 503, so that the client keeps its items and retries while the defect is
    fixed. The log has the traceback without the exception's message, which could quote the payload.
    """
    metrics = request.app[METRICS]
    request_id = request[REQUEST_ID] = request_id_of(request.headers)
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001  # the outermost place of a request
        answer = as_http_error(error)
        if isinstance(answer, UnexpectedError):
            metrics.unexpected_errors.inc()
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s failed with an unexpected %s\n%s", request_id, type(error).__name__, frames)  # noqa: TRY400
        elif isinstance(answer, OverloadedError):
            metrics.overloaded_requests.labels(answer.reason).inc()
        response = error_response(answer, request_id)
        if response.status == 408:
            response.force_close()
    response.headers[HEADER] = request_id
    if response.status == 200:
        metrics.requests_ok.inc()
    else:
        metrics.requests.labels(str(response.status)).inc()
    return response
