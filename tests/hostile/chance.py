"""The fuzzer: requests by chance against a gateway, one connection each, judged by what must hold for any."""

from __future__ import annotations

import json
import re
import socket

from tests.hostile.requests_by_chance import Chance
from tests.hostile.target import Target

REPLIES = {100, 200, 204, 400, 401, 404, 405, 408, 411, 413, 415, 417}
PATIENCE_SECONDS = 10.0
BRIEF_SECONDS = 0.05
"""For a reply that need not come."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def judge(target: Target, chance: Chance) -> int:
    """Send *chance* and return the status of its reply, 0 for none; fail where a reply is none of the contract."""
    with socket.create_connection(("127.0.0.1", target.port), timeout=PATIENCE_SECONDS) as connection:
        for piece in chance.with_token(target.token):
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        if not chance.whole:
            connection.settimeout(BRIEF_SECONDS)
        status, body = _reply(connection, has_body=not b"".join(chance.pieces).startswith(b"HEAD"))
    assert status or not chance.whole, ("no reply", chance.pieces)
    assert status in REPLIES | {0}, (status, body, chance.pieces)
    assert b"Traceback" not in body
    if status >= 400 and body:
        assert {"code", "message", "requestId"} <= json.loads(body).keys()
    return status


def _reply(connection: socket.socket, *, has_body: bool) -> tuple[int, bytes]:
    """Return the status and the body of the first reply that is not an interim one."""
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
