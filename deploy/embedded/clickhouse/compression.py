"""Bodies compressed and decompressed, with the names that HTTP has for it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import zstandard

from deploy.embedded.clickhouse.errors import QueryError


def _whole_zstd(body: bytes) -> bytes:
    decoder = zstandard.ZstdDecompressor().decompressobj()
    content = decoder.decompress(body)
    if not decoder.eof:
        raise EOFError("it ends too early")
    return content


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": _whole_zstd,
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
    """Return *body* as it was before it got *encoding*; raises `QueryError` where it is not that."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _DECODERS:
        raise QueryError(48, f"Unknown Content-Encoding: {encoding}")
    try:
        return _DECODERS[name](body)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError, brotli.error) as error:
        raise QueryError(117, f"the request's body is not {name}: {error}") from error


def encode(body: bytes, accepted: str) -> tuple[bytes, str]:
    """Return *body* in the first encoding of ours that *accepted* (`Accept-Encoding`) names, and which that is."""
    offered = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    for name, encoder in _ENCODERS.items():
        if name in offered:
            return encoder(body), name
    return body, ""
