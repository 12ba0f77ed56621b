"""Compression and decompression of HTTP bodies, by the names of HTTP content encodings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import zstandard

from deploy.embedded.clickhouse.errors import QueryError


def _decode_zstd(body: bytes) -> bytes:
    decoder = zstandard.ZstdDecompressor().decompressobj()
    content = decoder.decompress(body)
    if not decoder.eof:
        raise EOFError("the zstd frame is truncated")
    return content


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": _decode_zstd,
    "br": brotli.decompress,
    "lz4": lz4.frame.decompress,
}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=1).compress(body),
    "lz4": lz4.frame.compress,
    "br": lambda body: brotli.compress(body, quality=1),
    "gzip": lambda body: gzip.compress(body, compresslevel=1),
    "deflate": lambda body: zlib.compress(body, level=1),
}


def decode(body: bytes, encoding: str) -> bytes:
    """Return *body* decompressed; raises `QueryError` if *encoding* is unknown or the body is corrupt."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _DECODERS:
        raise QueryError(48, f"Unknown Content-Encoding: {encoding}")
    try:
        return _DECODERS[name](body)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError, brotli.error) as error:
        raise QueryError(117, f"Cannot decompress the request body as {name}: {error}") from error


def encode(body: bytes, accepted: str) -> tuple[bytes, str]:
    """Return *body* in the first supported encoding that *accepted* (`Accept-Encoding`) lists, and its name.

    Without one, return *body* unchanged and an empty name.
    """
    offered = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    for name, encoder in _ENCODERS.items():
        if name in offered:
            return encoder(body), name
    return body, ""
