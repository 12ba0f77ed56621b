"""Decompression of request bodies: whole, bounded, and strict about what is truncated or follows the stream."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import brotli
import lz4.frame
import pytest
import zstandard

from deploy.embedded.clickhouse.compression import decode, encode
from deploy.embedded.clickhouse.errors import QueryError

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: brotli.compress(body, quality=4),
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}
BODY = b"".join(b'{"a":%d}\n' % number for number in range(50_000))

encodings = pytest.mark.parametrize("encoding", ENCODERS)


@encodings
@pytest.mark.parametrize("body", [b"", b"x", BODY], ids=len)
def test_body_up_to_the_limit_is_decompressed(encoding: str, body: bytes) -> None:
    assert decode(ENCODERS[encoding](body), encoding, len(body)) == body
    assert decode(encode(body, encoding)[0], f" {encoding.upper()} ", len(body)) == body


@encodings
def test_body_beyond_the_limit_is_rejected(encoding: str) -> None:
    compressed = ENCODERS[encoding](BODY)
    for limit in (0, 1, len(BODY) // 2, len(BODY) - 1):
        with pytest.raises(QueryError) as error:
            decode(compressed, encoding, limit)
        assert error.value.code == 241


@encodings
def test_body_that_is_truncated_or_continues_is_rejected(encoding: str) -> None:
    compressed = ENCODERS[encoding](BODY)
    for damaged in (compressed[:-9], compressed[: len(compressed) // 2], compressed[:1], compressed + b"x"):
        with pytest.raises(QueryError) as error:
            decode(damaged, encoding, len(BODY))
        assert error.value.code == 117
