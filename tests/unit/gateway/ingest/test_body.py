"""Decompression of bodies: complete, bounded by the limit, and strict about corrupt input."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from io import BytesIO

import brotli
import pytest
import zstandard

from gateway.errors import BodyTooLargeError, CorruptBodyError
from gateway.ingest.body import (
    Decoder,
    decompress,
    inflate_brotli,
    inflate_deflate,
    inflate_gzip,
    inflate_zstd,
)

LIMIT = 1024 * 1024
BODY = b'{"batch":[' + b",".join(b'{"type":"track","userId":"%d"}' % number for number in range(20_000)) + b"]}"


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def streamed_zstd(body: bytes) -> bytes:
    """Compress without the size in the header, as streaming clients do."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(body) + stream.flush()


ENCODINGS: list[tuple[Callable[[bytes], bytes], Decoder]] = [
    (gzip.compress, inflate_gzip),
    (zlib.compress, inflate_deflate),
    (raw_deflate, inflate_deflate),
    (zstandard.compress, inflate_zstd),
    (streamed_zstd, inflate_zstd),
    (lambda body: brotli.compress(body, quality=4), inflate_brotli),
]
IDS = ["gzip", "deflate", "raw deflate", "zstd", "streamed zstd", "brotli"]
every_encoding = pytest.mark.parametrize(("compress", "decode"), ENCODINGS, ids=IDS)


@every_encoding
def test_body_is_decompressed_completely(compress: Callable[[bytes], bytes], decode: Decoder) -> None:
    assert decompress(decode, compress(BODY), LIMIT) == BODY
    assert decompress(decode, compress(b""), LIMIT) == b""


@every_encoding
def test_body_at_the_limit_is_accepted_and_one_byte_more_rejected(
    compress: Callable[[bytes], bytes], decode: Decoder
) -> None:
    assert len(decompress(decode, compress(b"x" * LIMIT), LIMIT)) == LIMIT
    with pytest.raises(BodyTooLargeError):
        decompress(decode, compress(b"x" * (LIMIT + 1)), LIMIT)


@every_encoding
def test_decompression_bomb_stops_near_the_limit(compress: Callable[[bytes], bytes], decode: Decoder) -> None:
    bomb = compress(b"\0" * (64 * LIMIT))

    assert LIMIT < len(decode(bomb, LIMIT)) <= 16 * LIMIT
    with pytest.raises(BodyTooLargeError):
        decompress(decode, bomb, LIMIT)


@every_encoding
def test_truncated_body_is_corrupt(compress: Callable[[bytes], bytes], decode: Decoder) -> None:
    wire = compress(BODY)

    for length in (0, 1, 4, len(wire) // 2, len(wire) - 1):
        with pytest.raises(CorruptBodyError):
            decompress(decode, wire[:length], LIMIT)


@pytest.mark.parametrize("decode", [inflate_gzip, inflate_deflate, inflate_zstd, inflate_brotli])
@pytest.mark.parametrize("wire", [b"not compressed", b"\xff" * 100, b'{"batch":[]}'])
def test_body_in_another_format_is_corrupt(decode: Decoder, wire: bytes) -> None:
    with pytest.raises(CorruptBodyError):
        decompress(decode, wire, LIMIT)


@pytest.mark.parametrize(
    ("compress", "decode"), [(gzip.compress, inflate_gzip), (zstandard.compress, inflate_zstd)], ids=["gzip", "zstd"]
)
def test_concatenated_streams_are_one_body(compress: Callable[[bytes], bytes], decode: Decoder) -> None:
    assert decompress(decode, compress(b"one ") + compress(b"") + compress(b"two"), LIMIT) == b"one two"
    with pytest.raises(CorruptBodyError):
        decompress(decode, compress(b"one") + b"rest", LIMIT)
    with pytest.raises(CorruptBodyError):
        decompress(decode, compress(b"") * 1000, LIMIT)


def test_zstd_frame_with_a_large_window_is_rejected() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    buffer = BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(buffer, closefd=False) as writer:
        writer.write(BODY)

    with pytest.raises(CorruptBodyError):
        decompress(inflate_zstd, buffer.getvalue(), LIMIT)
