"""Reads and decompresses a request body within its limits of size and time.

The first bytes of a body decide where its headers are wrong: a body that begins as gzip is gzip, and one that is a JSON
object is not compressed. Senders forget `Content-Encoding`, and proxies decompress a body and keep the header.

Memory is reserved for bytes as they arrive, never for an announced length, so that many large bodies at once are
rejected before they exhaust memory. Decompression stops at the limit. A body may take any time, unless it stalls.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from io import SEEK_CUR, BytesIO
from typing import NamedTuple, Protocol, Self

import brotli
import zstandard
from aiohttp import StreamReader, hdrs, web

from gateway.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    CorruptBodyError,
    LengthRequiredError,
    UnsupportedEncodingError,
    UnsupportedTypeError,
)
from gateway.settings import MIB, GatewaySettings

_CHARSETS = {"", "utf-8", "utf8", "us-ascii", "ascii"}
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"',;]*)""")
_MULTIPART = re.compile(r"(?:^|,)\s*multipart/")
GZIP_MAGIC = b"\x1f\x8b"
"""First bytes of gzip. No text in UTF-8 begins so."""
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
"""Beginning of a JSON object."""
_ZSTD_WINDOW_LIMIT_BYTES = 8 * MIB
"""Window that RFC 8878 requires every decoder to support. Frames with a larger window are rejected."""
_ZSTD_STEP_BYTES = 64
"""Input per step. The output of a step has no limit of its own, and four bytes can expand to a block of 128 KiB."""
_MAX_STREAMS = 32
"""Concatenated streams in one body. Each costs a copy of the remaining input; clients send one."""


_STALL_BYTES = 1024
"""A body stalls when fewer bytes arrive within the timeout. It is less than the slowest of mobile networks sends."""


class ReservedBytes(Protocol):
    """What a request holds."""

    def reserve(self, count: int) -> None:
        """Reserve *count* more bytes, or raise `OverloadedError`."""


class BodyLimits(NamedTuple):
    """Limits of a body in size and time."""

    wire_bytes: int
    """Of a compressed body."""
    body_bytes: int
    """Of a body after decompression."""
    stall_seconds: float

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        """Return the limits of a request with a token in its headers."""
        return cls(settings.wire_limit_bytes, settings.body_limit_bytes, settings.body_stall_timeout_seconds)

    @classmethod
    def unauthenticated(cls, settings: GatewaySettings) -> Self:
        """Return the limits of a request without: no body is larger than a compressed one."""
        wire_bytes = settings.wire_limit_bytes
        return cls(wire_bytes, min(wire_bytes, settings.body_limit_bytes), settings.body_stall_timeout_seconds)

    def bytes_of(self, beginning: bytes, decode: Decoder | None) -> int:
        """Return the limit as sent of a body with this *beginning*, which *decode* decompresses by its headers."""
        is_plain = not beginning.startswith(GZIP_MAGIC) if decode is None else _OBJECT.match(beginning) is not None
        return self.body_bytes if is_plain else self.wire_bytes


async def read_body(request: web.Request, limits: BodyLimits, reserved: ReservedBytes) -> bytes:
    """Return the decompressed body; raise a `RequestError` or `OverloadedError` if that fails."""
    decode = decoder_of(request)
    wire = await read_wire(request, decode, limits, reserved)
    return decoded(wire, decode, limits.body_bytes, reserved)


async def read_wire(request: web.Request, decode: Decoder | None, limits: BodyLimits, reserved: ReservedBytes) -> bytes:
    """Return the body as sent, which *decode* decompresses. Memory is reserved for the bytes that have arrived."""
    _check_type(request.headers.get(hdrs.CONTENT_TYPE, ""))
    content = request.content
    length = request.content_length
    if length is None and content.is_eof() and hdrs.TRANSFER_ENCODING not in request.headers:
        raise LengthRequiredError
    if length is not None:
        largest = max(limits.wire_bytes, limits.body_bytes)
        if length > largest:
            raise BodyTooLargeError(largest)
        if content.is_eof():
            reserved.reserve(length)
            return _checked(content.read_nowait(), decode, limits)
    try:
        return _checked(await _collect(content, decode, limits, reserved), decode, limits)
    except TimeoutError:
        raise BodyTimeoutError(limits.stall_seconds, _STALL_BYTES) from None
    except (web.RequestPayloadError, ConnectionError, RuntimeError) as error:
        # aiohttp raises a bare RuntimeError if the connection was lost before the first read.
        if isinstance(error, RuntimeError) and request.transport is not None:
            raise
        raise CorruptBodyError(
            "The body is truncated, or does not match its Content-Length or Transfer-Encoding."
        ) from error


def decoded(wire: bytes, decode: Decoder | None, limit_bytes: int, reserved: ReservedBytes) -> bytes:
    """Return *wire* decompressed, by *decode* or because it begins as gzip, and reserve the bytes that this adds."""
    if decode is None:
        if not wire.startswith(GZIP_MAGIC):
            return wire
        decode = inflate_gzip
    body = decompress(decode, wire, limit_bytes)
    if body is not wire:
        reserved.reserve(len(body))
    return body


def _checked(wire: bytes, decode: Decoder | None, limits: BodyLimits) -> bytes:
    limit_bytes = limits.bytes_of(wire, decode)
    if len(wire) > limit_bytes:
        raise BodyTooLargeError(limit_bytes)
    return wire


async def _collect(content: StreamReader, decode: Decoder | None, limits: BodyLimits, reserved: ReservedBytes) -> bytes:
    """Return the rest of the body; raise `TimeoutError` when fewer than `_STALL_BYTES` arrive within the timeout."""
    loop = asyncio.get_running_loop()
    chunks: list[bytes] = []
    size = counted = limit_bytes = 0
    async with asyncio.timeout(limits.stall_seconds) as deadline:
        while chunk := await content.readany():
            if not chunks:
                limit_bytes = limits.bytes_of(chunk, decode)
            size += len(chunk)
            if size > limit_bytes:
                raise BodyTooLargeError(limit_bytes)
            reserved.reserve(len(chunk))
            chunks.append(chunk)
            if size - counted >= _STALL_BYTES:
                counted = size
                deadline.reschedule(loop.time() + limits.stall_seconds)
    return b"".join(chunks)


Decoder = Callable[[bytes, int], bytes]
"""Decompresses up to one byte beyond a limit. Raises `ValueError` if the input is corrupt or truncated before that."""


def decompress(decode: Decoder, wire: bytes, limit_bytes: int) -> bytes:
    """Return *wire* decompressed; raise `CorruptBodyError`, or `BodyTooLargeError` as soon as the limit is exceeded.

    A JSON object that is not compressed is returned as it is. Whatever can be decompressed is, so no compressed body is
    taken for one.
    """
    try:
        body = decode(wire, limit_bytes)
    except (ValueError, zlib.error, brotli.error, zstandard.ZstdError) as error:
        if _OBJECT.match(wire):
            return wire
        raise CorruptBodyError("The body does not match its Content-Encoding, or is truncated.") from error
    if len(body) > limit_bytes:
        raise BodyTooLargeError(limit_bytes)
    return body


def inflate_gzip(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress gzip with one or more members."""
    body = b""
    for _ in range(_MAX_STREAMS):
        member = zlib.decompressobj(wbits=31)
        body += member.decompress(wire, limit_bytes + 1 - len(body))
        if len(body) > limit_bytes:
            return body
        if not member.eof:
            raise ValueError("truncated gzip stream")
        wire = member.unused_data
        if not wire:
            return body
    raise ValueError("too many gzip members")


def inflate_deflate(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress deflate with a zlib header (RFC 9110), or without one, as some clients send it."""
    has_header = len(wire) > 1 and wire[0] & 0x0F == 8 and (wire[0] * 256 + wire[1]) % 31 == 0
    stream = zlib.decompressobj(wbits=15 if has_header else -15)
    body = stream.decompress(wire, limit_bytes + 1)
    if len(body) <= limit_bytes and (not stream.eof or stream.unused_data):
        raise ValueError("truncated deflate stream, or data after it")
    return body


def inflate_brotli(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress brotli."""
    stream = brotli.Decompressor()
    body: bytes = stream.process(wire, output_buffer_limit=limit_bytes + 1)
    while len(body) <= limit_bytes and not stream.is_finished():
        more = stream.process(b"", output_buffer_limit=limit_bytes + 1 - len(body))
        if not more:
            raise ValueError("truncated brotli stream")
        body += more
    return body


def inflate_zstd(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress zstd with one or more frames."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_LIMIT_BYTES)
    source = BytesIO(wire)
    chunks: list[bytes] = []
    size = 0
    for _ in range(_MAX_STREAMS):
        frame = decompressor.decompressobj()
        while not frame.eof and (step := source.read(_ZSTD_STEP_BYTES)):
            chunks.append(frame.decompress(step))
            size += len(chunks[-1])
            if size > limit_bytes:
                return b"".join(chunks)
        if not frame.eof:
            raise ValueError("truncated zstd frame")
        if source.seek(-len(frame.unused_data), SEEK_CUR) == len(wire):
            return b"".join(chunks)
    raise ValueError("too many zstd frames")


_DECODERS: dict[str, Decoder | None] = {
    **dict.fromkeys(("", "identity")),
    **dict.fromkeys(_CHARSETS - {""}),  # Some senders name the charset here. It says that nothing is compressed.
    "gzip": inflate_gzip,
    "x-gzip": inflate_gzip,
    "deflate": inflate_deflate,
    "zstd": inflate_zstd,
    "br": inflate_brotli,
}


def decoder_of(request: web.Request) -> Decoder | None:
    """Return what decompresses the body of *request*, None for a plain one."""
    if hdrs.CONTENT_ENCODING not in request.headers:
        return None
    # Repeated headers are equivalent to one header with a list, which is not supported.
    encoding = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ()))
    try:
        return _DECODERS[encoding.strip().lower()]
    except KeyError:
        raise UnsupportedEncodingError from None


def _check_type(content_type: str) -> None:
    """Raise `UnsupportedTypeError` unless a body of this type may be JSON: form types are, of `curl -d` for example."""
    if content_type in {"application/json", ""}:
        return
    named = content_type.lower()
    if _MULTIPART.search(named) or not _CHARSETS.issuperset(_CHARSET.findall(named)):
        raise UnsupportedTypeError
