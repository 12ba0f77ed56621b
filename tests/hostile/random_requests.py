"""Random requests for the fuzzer: heads, lengths, encodings and bodies, mostly valid, with faults in every position."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import brotli
import zstandard
from hypothesis import strategies as st

from gateway.http.paths import INGEST_PATHS
from tests.hostile.target import CANARY
from tests.unit.gateway.ingest.json_texts import bodies, items

TOKEN = "seq_token_to_be_replaced"
"""Placeholder for the token of the gateway under test."""
PATHS = [*INGEST_PATHS]
ODD_PATHS = [
    *("/", "/metrics", "/health/ready", "/openapi.json", "//b", "/b/", "/%62", "/b?verbose=0", "/b?verbose=%ff&"),
    *("/v1//track/", "/Event/Batch", "/v1/batch/v1/batch", "/v2/\xff", "/v1/" + "x" * 2000, "//" * 500),
]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "br": brotli.compress,
}
ENCODINGS = [*COMPRESS, "GZIP", "gzip, br", "compress", "gzip;q=1", "\xff"]
TYPES = [
    *("application/json", "text/plain;charset=UTF-8", "application/xml", "application/json; charset=latin1", ";", ""),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json, application/json"),
]
AUTHORIZATIONS = [
    f"Authorization: Bearer {TOKEN}",
    f"Authorization: Basic {base64.b64encode(TOKEN.encode() + b':').decode()}",
    f"Authentication: Bearer {TOKEN}",
    f"Authorization: bearer\t{TOKEN}",
    "Authorization: Bearer another-one-of-16",
    "Authorization: Basic !!!",
    "Authorization: Negotiate x",
    "Authorization:",
    "Authorization: Bearer \xff\xfe",
]


@dataclass(frozen=True, slots=True)
class RandomRequest:
    """A request in pieces, each one write to the socket; `complete` when HTTP requires a reply."""

    pieces: tuple[bytes, ...]
    complete: bool

    def with_token(self, token: str) -> list[bytes]:
        """Return the pieces with *token* in place of `TOKEN`; a placeholder that is cut in two stays as it is."""
        basic = base64.b64encode(TOKEN.encode() + b":")
        return [
            piece.replace(TOKEN.encode(), token.encode()).replace(basic, base64.b64encode(f"{token}:".encode()))
            for piece in self.pieces
        ]


def authorizations() -> st.SearchStrategy[list[str]]:
    """Return authorization headers, mostly valid."""
    valid = st.sampled_from(AUTHORIZATIONS[:4])
    return st.one_of(*[st.tuples(valid).map(list)] * 8, st.lists(st.sampled_from(AUTHORIZATIONS), max_size=2))


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Return a body before compression."""
    text = draw(bodies() | bodies(broken=True) | items() | items(broken=True) | st.text(max_size=50))
    content = text.replace('"u"', f'"{CANARY}"').encode("utf-8", "surrogatepass")
    valid = [st.just(content)] * 8
    invalid = (st.just(b"\xef\xbb\xbf" + content), flipped(content), st.binary(max_size=200))
    made: bytes = draw(st.one_of(*valid, *invalid))
    return made


@st.composite
def flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """Return *content* with one byte changed or removed, or cut off."""
    if not content:
        return content
    at = draw(st.integers(0, len(content) - 1))
    byte = draw(st.binary(max_size=1))
    return content[:at] + (byte + content[at + 1 :] if byte else b"")


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> tuple[list[str], bytes, bool]:
    """Return the headers that frame *body*, the body on the wire, and whether both agree."""
    match draw(st.sampled_from(["length"] * 6 + ["chunks"] * 3 + ["short", "long", "both", "none"])):
        case "length":
            return [f"Content-Length: {len(body)}"], body, True
        case "chunks":
            step = draw(st.integers(1, 4096))
            parts = [body[at : at + step] for at in range(0, min(len(body), 40 * step), step)]
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            return ["Transfer-Encoding: chunked"], chunks + b"0\r\n\r\n", True
        case "short":
            return [f"Content-Length: {len(body) + draw(st.integers(1, 1000))}"], body, False
        case "long":
            return [f"Content-Length: {draw(st.integers(0, max(len(body) - 1, 0)))}"], body, True
        case "both":
            return [f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"], body, False
        case _:
            return [], body, True


@st.composite
def random_requests(draw: st.DrawFn) -> RandomRequest:
    """Return a request."""
    if draw(st.integers(0, 19)) == 0:
        return RandomRequest((draw(st.binary(min_size=1, max_size=500)) + b"\r\n\r\n",), complete=False)
    content = draw(contents())
    encoding = draw(st.sampled_from([*COMPRESS, *COMPRESS, *ENCODINGS]))
    compress = COMPRESS.get(encoding.lower(), bytes)
    body = draw(st.one_of(*[st.just(compress(content))] * 8, flipped(compress(content)), st.just(content)))
    lines, wire, agrees = draw(framed(body))
    path = draw(st.sampled_from([*PATHS * 8, *ODD_PATHS]))
    method = draw(st.sampled_from(["POST"] * 60 + ["GET", "PUT", "OPTIONS", "HEAD", "BREW"]))
    head = [f"{method} {path} HTTP/1.1", "Host: gateway", *lines]
    head += draw(authorizations())
    head += [f"Content-Encoding: {encoding}"] if encoding else []
    head += [f"Content-Type: {kind}" for kind in draw(st.lists(st.sampled_from([*TYPES[:2] * 4, *TYPES]), max_size=1))]
    head += draw(st.lists(st.sampled_from(["Expect: 100-continue", "Connection: close", "X: \xff", "Upgrade: x"])))[:2]
    request = "\r\n".join([*head, "", ""]).encode("latin-1") + wire
    cut = draw(st.integers(0, len(request)))
    return RandomRequest(tuple(piece for piece in (request[:cut], request[cut:]) if piece), complete=agrees)
