"""Decompression of bodies: complete, bounded by the limit, and strict about corrupt input."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from io import BytesIO

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

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
DECODERS = [inflate_gzip, inflate_deflate, inflate_zstd, inflate_brotli]
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


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("wire", [b"not compressed", b"\xff" * 100, b'["batch"]', b"", b"  "])
def test_body_in_another_format_is_corrupt(decode: Decoder, wire: bytes) -> None:
    with pytest.raises(CorruptBodyError):
        decompress(decode, wire, LIMIT)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" ", b"\n", b"\r\n\t ", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n\0\0"])
def test_object_that_is_not_compressed_is_returned_as_it_is(decode: Decoder, before: bytes, after: bytes) -> None:
    wire = before + BODY + after

    assert decompress(decode, wire, LIMIT) == wire


@given(
    before=st.text(" \t\r\n", max_size=3), text=st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_no_object_is_taken_for_a_compressed_body(before: str, text: object) -> None:
    wire = f'{before}{{"batch":{json.dumps(text, ensure_ascii=False)}}}'.encode()

    for decode in DECODERS:
        assert decompress(decode, wire, LIMIT) == wire


@every_encoding
@given(before=st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b" ", b"\r\n"]), body=st.binary(max_size=200))
def test_compressed_body_is_never_taken_for_an_object(
    compress: Callable[[bytes], bytes], decode: Decoder, before: bytes, body: bytes
) -> None:
    assert decompress(decode, compress(before + body), LIMIT) == before + body


def test_deflate_stream_that_begins_as_an_object_is_decompressed() -> None:
    """A byte order mark, compressed with fixed codes and without a header, is the one case."""
    stream = zlib.compressobj(wbits=-15, strategy=zlib.Z_FIXED)
    wire = stream.compress(b'\xef\xbb\xbf{"batch":[]}') + stream.flush()

    assert wire.startswith(b"{")
    assert decompress(inflate_deflate, wire, LIMIT) == b'\xef\xbb\xbf{"batch":[]}'


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
