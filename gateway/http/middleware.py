"""The one place where errors become replies, and where requests are counted."""

from __future__ import annotations

import logging
import traceback

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.http.responses import error_response, failure, new_request_id
from gateway.metrics import GatewayMetrics

log = logging.getLogger(__name__)

METRICS = web.AppKey("METRICS", GatewayMetrics)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a reply.

    What nobody foresaw is answered 503 and logged: the sender keeps its items and tries again, so nothing is lost while
    the fault is found. The log has where it happened and never what the exception says, which could quote the payload.
    """
    metrics = request.app[METRICS]
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001  # the outermost place of a request
        request_id = new_request_id()
        reply = error_response(error, request_id)
        if reply is None:
            metrics.unexpected_errors.inc()
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s met an unexpected %s\n%s", request_id, type(error).__name__, frames)  # noqa: TRY400
            message = "The gateway met an unexpected error. Send the request again."
            reply = failure(503, "unexpected_error", message, request_id, {"Retry-After": "1"})
        if reply.status == 408:
            reply.force_close()
        metrics.requests.labels(str(reply.status)).inc()
        return reply
    if response.status == 200:
        metrics.answered_ok.inc()
    else:
        metrics.requests.labels(str(response.status)).inc()
    return response
