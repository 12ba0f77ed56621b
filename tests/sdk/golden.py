"""Replays the requests in `golden/`: those of libraries that no registry of ours has, as their sources form them.

A file begins with comments: the library and its version, the source, and what is special. Then follow the request line,
the headers, an empty line and the body as JSON. It has `{{user}}`, `{{token}}` and `{{basic}}` in place of values. A
body with `Content-Encoding: gzip` is compressed here, and `Transfer-Encoding: chunked` is applied.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DIRECTORY = Path(__file__).with_name("golden")
_CHUNK_BYTES = 256
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Golden:
    """A request of a library."""

    library: str
    version: str
    path: str
    headers: dict[str, str]
    body: str


def golden_requests() -> list[Golden]:
    """Return every request, by file name."""
    return [_parsed(file.read_text(encoding="utf-8")) for file in sorted(DIRECTORY.glob("*.http"))]


def _parsed(text: str) -> Golden:
    head, _, body = text.partition("\n\n")
    lines = head.splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    request_line, *headers = [line for line in lines if not line.startswith("#")]
    named = re.fullmatch(r"(?P<library>[^:]+): (?P<version>.+)", comments[0])
    assert named is not None
    return Golden(
        named["library"], named["version"], request_line.split()[1], dict(line.split(": ", 1) for line in headers), body
    )


def replay(request: Golden, *, host: str, key: str, user: str) -> int:
    """Send *request* to *host* and return the status of the reply."""
    basic = base64.b64encode(f"{key}:".encode()).decode()

    def filled(text: str) -> str:
        return text.replace("{{user}}", user).replace("{{token}}", key).replace("{{basic}}", basic)

    body = filled(request.body).encode()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.compress(body)
    chunked = request.headers.get("Transfer-Encoding") == "chunked"
    connection = http.client.HTTPConnection(str(urlsplit(host).netloc), timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(
            "POST",
            request.path,
            (body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES)) if chunked else body,
            {name: filled(value) for name, value in request.headers.items()},
            encode_chunked=chunked,
        )
        return connection.getresponse().status
    finally:
        connection.close()
