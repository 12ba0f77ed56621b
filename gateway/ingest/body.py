"""A request's body: off the wire within its time and limits, and out of its encoding.

What is read is held in the `MemoryBudget` for as long as the request lasts, so many large bodies at once are refused
before they fill the memory. A decompressor is stopped at the limit, never measured afterwards.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from io import SEEK_CUR, BytesIO

import brotli
import zstandard
from aiohttp import StreamReader, hdrs, web

from gateway.admission import MemoryBudget
from gateway.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    CorruptBodyError,
    LengthRequiredError,
    UnsupportedEncodingError,
    UnsupportedTypeError,
)
from gateway.settings import MIB, GatewaySettings

_TYPES = {"", "application/json", "text/plain"}
_CHARSETS = {"", "utf-8", "utf8", "us-ascii"}
_ZSTD_WINDOW_LIMIT_BYTES = 8 * MIB
"""What RFC 8878 asks every decoder to support; a frame that wants more memory is refused."""
_ZSTD_STEP_BYTES = 64
"""What one step makes of it cannot be bounded, and a block of 128 KiB can come from four bytes: so steps are small."""
_MOST_PARTS = 32
"""Streams in one body, each of which costs a copy of the rest; clients send one."""


class MemoryReservation:
    """What one request holds of the budget."""

    __slots__ = ("_budget", "_count")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._count = 0

    def take(self, count: int) -> None:
        """Hold *count* bytes more, or raise `OverloadedError`."""
        self._budget.take(count)
        self._count += count

    def release(self) -> None:
        """Give everything back."""
        self._budget.release(self._count)
        self._count = 0


async def read_body(request: web.Request, settings: GatewaySettings, held: MemoryReservation) -> bytes:
    """Return the decompressed body; every way in which it can fail is a `RequestError` or an `OverloadedError`."""
    _check_type(request.headers.get(hdrs.CONTENT_TYPE, ""))
    # Two headers are as good as one with both encodings.
    decode = _decoder(",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())))
    if decode is None:
        return await _read_wire(request, settings.body_limit_bytes, settings.body_timeout_seconds, held)
    wire = await _read_wire(request, settings.wire_limit_bytes, settings.body_timeout_seconds, held)
    body = decompress(decode, wire, settings.body_limit_bytes)
    held.take(len(body))
    return body


async def _read_wire(request: web.Request, limit_bytes: int, timeout_seconds: float, held: MemoryReservation) -> bytes:
    content = request.content
    length = request.content_length
    if length is None and content.is_eof() and hdrs.TRANSFER_ENCODING not in request.headers:
        raise LengthRequiredError
    if length is not None:
        if length > limit_bytes:
            raise _too_large(limit_bytes)
        held.take(length)
        if content.is_eof():
            return content.read_nowait()
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _collect(content, limit_bytes, None if length is not None else held)
    except TimeoutError:
        raise BodyTimeoutError(f"The body did not arrive within {timeout_seconds:g} s.") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise CorruptBodyError("The body ends too early or is not in the form that its headers say.") from error


async def _collect(content: StreamReader, limit_bytes: int, held: MemoryReservation | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await content.readany():
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if held is not None:
            held.take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


Decoder = Callable[[bytes, int], bytes]
"""Decompress up to one byte more than a limit; raise `ValueError` for what is corrupt or incomplete below it."""


def decompress(decode: Decoder, wire: bytes, limit_bytes: int) -> bytes:
    """Return what *wire* is, or raise `CorruptBodyError` or, without making more of it, `BodyTooLargeError`."""
    try:
        body = decode(wire, limit_bytes)
    except (ValueError, zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise CorruptBodyError("The body is not what its Content-Encoding says, or is incomplete.") from error
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return body


def inflate_gzip(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress gzip, of several members too."""
    body = b""
    for _ in range(_MOST_PARTS):
        member = zlib.decompressobj(wbits=31)
        body += member.decompress(wire, limit_bytes + 1 - len(body))
        if len(body) > limit_bytes:
            return body
        if not member.eof:
            raise ValueError("the end of the gzip stream is missing")
        wire = member.unused_data
        if not wire:
            return body
    raise ValueError("too many gzip members")


def inflate_deflate(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress deflate, with zlib's header as the standard has it, or without as some clients send it."""
    has_header = len(wire) > 1 and wire[0] & 0x0F == 8 and (wire[0] * 256 + wire[1]) % 31 == 0
    stream = zlib.decompressobj(wbits=15 if has_header else -15)
    body = stream.decompress(wire, limit_bytes + 1)
    if len(body) <= limit_bytes and (not stream.eof or stream.unused_data):
        raise ValueError("the deflate stream does not end where the body does")
    return body


def inflate_brotli(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress brotli."""
    stream = brotli.Decompressor()
    body: bytes = stream.process(wire, output_buffer_limit=limit_bytes + 1)
    while len(body) <= limit_bytes and not stream.is_finished():
        more = stream.process(b"", output_buffer_limit=limit_bytes + 1 - len(body))
        if not more:
            raise ValueError("the end of the brotli stream is missing")
        body += more
    return body


def inflate_zstd(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress zstd, of several frames too."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_LIMIT_BYTES)
    source = BytesIO(wire)
    chunks: list[bytes] = []
    size = 0
    for _ in range(_MOST_PARTS):
        frame = decompressor.decompressobj()
        while not frame.eof and (step := source.read(_ZSTD_STEP_BYTES)):
            chunks.append(frame.decompress(step))
            size += len(chunks[-1])
            if size > limit_bytes:
                return b"".join(chunks)
        if not frame.eof:
            raise ValueError("the end of the zstd frame is missing")
        if source.seek(-len(frame.unused_data), SEEK_CUR) == len(wire):
            return b"".join(chunks)
    raise ValueError("too many zstd frames")


_DECODERS: dict[str, Decoder | None] = {
    "": None,
    "identity": None,
    "gzip": inflate_gzip,
    "x-gzip": inflate_gzip,
    "deflate": inflate_deflate,
    "zstd": inflate_zstd,
    "br": inflate_brotli,
}


def _decoder(encoding: str) -> Decoder | None:
    try:
        return _DECODERS[encoding.strip().lower()]
    except KeyError:
        message = "Content-Encoding has to be one of gzip, deflate, zstd, br and identity."
        raise UnsupportedEncodingError(message) from None


def _check_type(content_type: str) -> None:
    if content_type in {"application/json", ""}:
        return
    kind, _, parameters = content_type.partition(";")
    charset = ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    if kind.strip().lower() not in _TYPES or charset not in _CHARSETS:
        raise UnsupportedTypeError("Content-Type has to be application/json or text/plain, in UTF-8.")


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than {limit_bytes} bytes.")
