"""Requests that are invalid below the body: headers, lengths, chunks, timing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.hostile.bodies import GOOD
from tests.hostile.target import Parts, Pause, Target

SLOW_SECONDS = 0.1
"""Pause between two bytes of a slow request; the timeouts of the gateway under test are shorter than the request."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The parts of a request and the expected reply."""

    name: str
    expected: str
    parts: Callable[[Target], Parts]


def _lengths(*lines: str, body: bytes = GOOD) -> Callable[[Target], Parts]:
    return lambda target: [target.head(*lines) + body]


def _start(line: str, *, host: str = "Host: gateway\r\n") -> Callable[[Target], Parts]:
    return lambda _: [f"{line}\r\n{host}Content-Length: 0\r\n\r\n".encode()]


def _slowly(data: bytes) -> Parts:
    return [part for byte in data for part in (bytes([byte]), Pause(SLOW_SECONDS))]


def _chunks(*chunks: bytes | Pause) -> Callable[[Target], Parts]:
    return lambda target: [target.head("Transfer-Encoding: chunked"), *chunks]


LENGTH = f"Content-Length: {len(GOOD)}"
CHUNK = b"%x\r\n%b\r\n" % (len(GOOD), GOOD)
SMUGGLING = [
    Wire("CL and TE", "400 bad_request", _lengths(LENGTH, "Transfer-Encoding: chunked", body=CHUNK + b"0\r\n\r\n")),
    Wire("TE and CL", "400 bad_request", _lengths("Transfer-Encoding: chunked", "Content-Length: 3", body=CHUNK)),
    Wire("two lengths", "400 bad_request", _lengths(LENGTH, "Content-Length: 3")),
    Wire("the same length twice", "400 bad_request", _lengths(LENGTH, LENGTH)),
    Wire("lengths in one header", "400 bad_request", _lengths(f"{LENGTH}, 3")),
    Wire("a length with a sign", "400 bad_request", _lengths(f"Content-Length: +{len(GOOD)}")),
    Wire("a negative length", "400 bad_request", _lengths("Content-Length: -1")),
    Wire("a hexadecimal length", "400 bad_request", _lengths("Content-Length: 0x10")),
    Wire("a length of 100 digits", "400 bad_request", _lengths("Content-Length: " + "9" * 100)),
    Wire("a length of a terabyte", "413 body_too_large", _lengths("Content-Length: 1000000000000")),
    Wire("chunked twice", "400 bad_request", _lengths("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    Wire("chunked, then not", "400 bad_request", _lengths("Transfer-Encoding: chunked, identity")),
    Wire("xchunked", "400 bad_request", _lengths("Transfer-Encoding: xchunked")),
    Wire("a folded header", "400 bad_request", _lengths("X: a\r\n b", LENGTH)),
    Wire("a space before a colon", "400 bad_request", _lengths(f"{LENGTH[:14]} : 3", LENGTH)),
    Wire("a chunk of negative length", "400", _chunks(b"-1\r\n")),
    Wire("a chunk of hexadecimal form", "400", _chunks(b"0x5\r\n")),
    Wire("a chunk longer than it says", "400", _chunks(b"1\r\nabc\r\n0\r\n\r\n")),
    Wire("a chunk of 2**70 bytes", "400", _chunks(b"f" * 18 + b"\r\n")),
    Wire("a chunk with 1 MiB of extension", "200", _chunks(b"%x;" % len(GOOD) + b"x" * 2**20, CHUNK[2:], b"0\r\n\r\n")),
    Wire("trailers of 1 MiB", "400", _chunks(CHUNK, b"0\r\n", *[b"X: " + b"y" * 8000 + b"\r\n"] * 130, b"\r\n")),
]
HEADS = [
    Wire("TLS", "400 bad_request", lambda _: [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"]),
    Wire("HTTP/2", "400 bad_request", lambda _: [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
    Wire("no version", "404 not_found", lambda _: [b"GET /\r\n\r\n"]),
    Wire("a URL of 100 KiB", "400 bad_request", _start(f"GET /{'x' * 102_400} HTTP/1.1")),
    Wire("a header of 100 KiB", "400 bad_request", _lengths("X: " + "x" * 102_400, LENGTH)),
    Wire("10,000 headers", "400 bad_request", _lengths(*[f"X{number}: y" for number in range(10_000)], LENGTH)),
    Wire("NUL in a header", "400 bad_request", _lengths("X: a\0b", LENGTH)),
    Wire("TRACE", "404 not_found", _start("TRACE / HTTP/1.1")),
    Wire("DELETE", "405 method_not_allowed", _start("DELETE /event/batch HTTP/1.1")),
    Wire("a path with dots", "404 not_found", _start("POST /x/../../etc/passwd HTTP/1.1")),
    Wire("an encoded path with NUL", "404 not_found", _start("POST /%00%ff HTTP/1.1")),
    Wire("no length", "411 length_required", _lengths(body=b"")),
    Wire("an expectation", "417 expectation_failed", _lengths("Expect: the-worst", LENGTH)),
    Wire("two different tokens", "401 unauthorized", _lengths("Authorization: Bearer another", LENGTH)),
    Wire(
        "two encodings in two headers",
        "415 unsupported_encoding",
        _lengths("Content-Encoding: gzip", "Content-Encoding: gzip", LENGTH),
    ),
    Wire("a token of 8,000 characters", "401 unauthorized", lambda t: [t.head(LENGTH, token="x" * 8000) + GOOD]),
    Wire(
        "a token that is no text",
        "401 unauthorized",
        lambda t: [t.head(LENGTH, token="é" * 20).replace("é".encode(), b"\xff") + GOOD],
    ),
    Wire("an upgrade", "200", _lengths("Connection: Upgrade", "Upgrade: websocket", LENGTH)),
]
DRIPS: list[bytes | Pause] = [b"1\r\n \r\n", Pause(SLOW_SECONDS)] * 200
SLOW = [
    Wire("headers, byte by byte", "408 headers_timeout", lambda target: _slowly(target.head(LENGTH))),
    Wire("a body, byte by byte", "408 body_timeout", lambda target: [target.head(LENGTH), *_slowly(GOOD)]),
    Wire("half a body", "408 body_timeout", lambda target: [target.head(LENGTH) + GOOD[:9]]),
    Wire("chunks that never end", "413 body_too_large", _chunks(*[b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 200)),
    Wire("small chunks that never end", "408 body_timeout", _chunks(*DRIPS)),
    Wire("300,000 chunks of a byte", "400 invalid_json", _chunks(*[b"1\r\n \r\n" * 10_000] * 30, b"0\r\n\r\n")),
]
WIRES = [*SMUGGLING, *HEADS, *SLOW]
