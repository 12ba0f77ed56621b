"""The fuzzer: sends random requests to a gateway, one connection each, and checks what must hold for every reply."""

from __future__ import annotations

import json
import re
import socket

from tests.hostile.random_requests import RandomRequest
from tests.hostile.target import Target

REPLIES = {100, 200, 204, 400, 401, 404, 405, 408, 411, 413, 415, 417}
REPLY_TIMEOUT_SECONDS = 10.0
OPTIONAL_REPLY_TIMEOUT_SECONDS = 0.05
"""For a request that HTTP requires no reply to."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def check_reply(target: Target, request: RandomRequest) -> int:
    """Send *request* and return the status of the reply, 0 for none; fail when the reply breaks the HTTP contract."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=REPLY_TIMEOUT_SECONDS) as connection:
        for piece in request.with_token(target.token):
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        if not request.complete:
            connection.settimeout(OPTIONAL_REPLY_TIMEOUT_SECONDS)
        status, body = _reply(connection, has_body=not b"".join(request.pieces).startswith(b"HEAD"))
    assert status or not request.complete, ("no reply", request.pieces)
    assert status in REPLIES | {0}, (status, body, request.pieces)
    assert b"Traceback" not in body
    if status >= 400 and body:
        assert {"code", "message", "requestId"} <= json.loads(body).keys()
    return status


def _reply(connection: socket.socket, *, has_body: bool) -> tuple[int, bytes]:
    """Return status and body of the first reply after interim ones."""
    received = b""
    try:
        while True:
            head, end, rest = received.partition(b"\r\n\r\n")
            found = _STATUS.match(head)
            if end and found is not None:
                status, length = int(found[1]), _LENGTH.search(head)
                if status == 100:
                    received = rest
                    continue
                if not has_body or length is None or len(rest) >= int(length[1]):
                    return status, rest[: int(length[1]) if length is not None and has_body else 0]
            more = connection.recv(65_536)
            if not more:
                return (int(found[1]), b"") if end and found is not None else (0, b"")
            received += more
    except (TimeoutError, ConnectionResetError):
        return 0, b""
