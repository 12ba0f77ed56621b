"""Compression and decompression of HTTP bodies, by the names of HTTP content encodings."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import zstandard

from deploy.embedded.clickhouse.errors import QueryError

_ZSTD_STEP_BYTES = 1024
"""Input per step. The output of a step has no limit of its own: up to 32 MiB."""


def _decode_gzip(body: bytes, size: int) -> bytes:
    return gzip.GzipFile(fileobj=io.BytesIO(body)).read(size)


def _decode_deflate(body: bytes, size: int) -> bytes:
    decoder = zlib.decompressobj()
    content = decoder.decompress(body, size)
    return _whole(content, size, ended=decoder.eof and not decoder.unused_data)


def _decode_zstd(body: bytes, size: int) -> bytes:
    decoder = zstandard.ZstdDecompressor().decompressobj()
    source = io.BytesIO(body)
    content = bytearray()
    while len(content) < size and not decoder.eof and (step := source.read(_ZSTD_STEP_BYTES)):
        content += decoder.decompress(step)
    at_end = not decoder.unused_data and source.tell() == len(body)
    return _whole(bytes(content[:size]), size, ended=decoder.eof and at_end)


def _decode_brotli(body: bytes, size: int) -> bytes:
    decoder = brotli.Decompressor()
    content = bytearray(decoder.process(body, output_buffer_limit=size))
    while len(content) < size and not decoder.is_finished():
        more = decoder.process(b"", output_buffer_limit=size - len(content))
        if not more:
            break
        content += more
    return _whole(bytes(content), size, ended=decoder.is_finished())


def _decode_lz4(body: bytes, size: int) -> bytes:
    decoder = lz4.frame.LZ4FrameDecompressor()
    content: bytes = decoder.decompress(body, max_length=size)
    return _whole(content, size, ended=decoder.eof and not decoder.unused_data)


def _whole(content: bytes, size: int, *, ended: bool) -> bytes:
    """Return *content*; raise EOFError if it is shorter than *size* and its stream has not *ended* with the body."""
    if len(content) < size and not ended:
        raise EOFError("the compressed stream is truncated, or data follows it")
    return content


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _decode_gzip,
    "deflate": _decode_deflate,
    "zstd": _decode_zstd,
    "br": _decode_brotli,
    "lz4": _decode_lz4,
}
"""Decompress a body, but at most a number of bytes."""

_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=1).compress(body),
    "lz4": lz4.frame.compress,
    "br": lambda body: brotli.compress(body, quality=1),
    "gzip": lambda body: gzip.compress(body, compresslevel=1),
    "deflate": lambda body: zlib.compress(body, level=1),
}


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """Return *body* decompressed.

    Raises `QueryError` if *encoding* is unknown, the body is corrupt, or it decompresses to more than *limit* bytes.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _DECODERS:
        raise QueryError(48, f"Unknown Content-Encoding: {encoding}")
    try:
        content = _DECODERS[name](body, limit + 1)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError, brotli.error) as error:
        raise QueryError(117, f"Cannot decompress the request body as {name}: {error}") from error
    if len(content) > limit:
        raise QueryError(
            241, f"The request body decompresses to more than {limit} bytes (SEQUENCE_LOCAL_CLICKHOUSE_BODY_MIB)"
        )
    return content


def encode(body: bytes, accepted: str) -> tuple[bytes, str]:
    """Return *body* in the first supported encoding that *accepted* (`Accept-Encoding`) lists, and its name.

    Without one, return *body* unchanged and an empty name.
    """
    offered = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    for name, encoder in _ENCODERS.items():
        if name in offered:
            return encoder(body), name
    return body, ""
