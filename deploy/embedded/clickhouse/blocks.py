"""ClickHouse's block compression of HTTP bodies: the URL parameters `compress` and `decompress`.

A body is a sequence of blocks. Each has the checksum of what follows it, the method, the compressed size with these
nine bytes, the size, and the compressed bytes.

https://github.com/ClickHouse/ClickHouse/blob/master/src/Compression/CompressionInfo.h
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from deploy.embedded.clickhouse.errors import QueryError

_BLOCK_BYTES = 1024 * 1024
_LZ4 = 0x82
_ZSTD = 0x90
_NONE = 0x02
_CHECKSUM_BYTES = 16
_UNKNOWN_SIZE = -1
_HEADER = struct.Struct("<BII")


def encode(content: bytes) -> bytes:
    """Return *content* in blocks of LZ4."""
    return b"".join(_encoded(content[at : at + _BLOCK_BYTES]) for at in range(0, len(content), _BLOCK_BYTES))


def _encoded(content: bytes) -> bytes:
    compressed: bytes = lz4.block.compress(content, store_size=False)
    block = _HEADER.pack(_LZ4, _HEADER.size + len(compressed), len(content)) + compressed
    return _checksum(block) + block


def _checksum(block: bytes) -> bytes:
    number: int = CityHash128(block)
    return struct.pack("<QQ", number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF)


def decode(body: bytes, limit: int) -> bytes:
    """Return *body* decompressed.

    Raises `QueryError` if it is damaged, has another method than LZ4, ZSTD and none, or exceeds *limit* bytes.
    """
    parts: list[bytes] = []
    size = 0
    for method, content, block_bytes in _blocks(body):
        size += block_bytes
        if size > limit:
            raise QueryError(
                241, f"The request body decompresses to more than {limit} bytes (SEQUENCE_LOCAL_CLICKHOUSE_BODY_MIB)"
            )
        parts.append(_decoded(method, content, block_bytes))
    return b"".join(parts)


def _blocks(body: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield the method, the compressed bytes and the size of each block of *body*."""
    at = 0
    while at < len(body):
        begin = at + _CHECKSUM_BYTES
        if len(body) < begin + _HEADER.size:
            raise QueryError(33, "Cannot decompress the request body: its last block is incomplete")
        method, compressed_bytes, block_bytes = _HEADER.unpack_from(body, begin)
        at = begin + compressed_bytes
        if compressed_bytes < _HEADER.size or at > len(body):
            raise QueryError(33, "Cannot decompress the request body: its last block is incomplete")
        if body[begin - _CHECKSUM_BYTES : begin] != _checksum(body[begin:at]):
            raise QueryError(40, "Checksum of a compressed block of the request body doesn't match: corrupted data")
        yield method, body[begin + _HEADER.size : at], block_bytes


def _decoded(method: int, content: bytes, size: int) -> bytes:
    try:
        if method == _LZ4:
            decoded: bytes = lz4.block.decompress(content, uncompressed_size=size)
        elif method == _ZSTD:
            # The size that a frame has takes precedence over a maximum.
            if zstandard.frame_content_size(content) not in {_UNKNOWN_SIZE, size}:
                raise QueryError(271, f"Cannot decompress the request body: the frame of a block has not {size} bytes")
            decoded = zstandard.ZstdDecompressor().decompress(content, max_output_size=size)
        elif method == _NONE:
            decoded = content
        else:
            raise QueryError(432, f"Unknown compression method of the request body: {method:#x}")
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise QueryError(271, f"Cannot decompress the request body: {error}") from error
    if len(decoded) != size:
        raise QueryError(
            271, f"Cannot decompress the request body: a block has {len(decoded)} bytes in place of {size}"
        )
    return decoded
