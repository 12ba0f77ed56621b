"""What drivers ask of the embedded server: compressed blocks, Native for a protocol version, their settings."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import lz4.block
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from deploy.embedded.clickhouse import blocks
from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp

GO = 54460
"""Protocol version of clickhouse-go, with which Grafana's data source reads."""
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
FLATTENED: dict[str, Any] = {"output_format_native_use_flattened_dynamic_and_json_serialization": 1}
AS_TEXT: dict[str, Any] = {"output_format_native_write_json_as_string": 1}
JSON = """'{"a":{"b":1},"c":[{"d":1},{"d":"x"}],"t":3}'::JSON(t UInt32, a.b String, SKIP z, max_dynamic_paths={0})"""


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        yield ClickHouseHttp(service.address)


@pytest.fixture
def analyst(writer: ClickHouseHttp) -> ClickHouseHttp:
    return ClickHouseHttp(f"http://{writer.netloc}", "analyst", services.ANALYST_PASSWORD)


def block(method: int, content: bytes, size: int) -> bytes:
    """Return a block with the bytes *content*, which says that they are *size* bytes compressed by *method*."""
    framed = struct.pack("<BII", method, 9 + len(content), size) + content
    number = CityHash128(framed)
    return struct.pack("<QQ", number >> 64, number % 2**64) + framed


def test_result_is_in_compressed_blocks_if_the_request_asks(analyst: ClickHouseHttp) -> None:
    # clickhouse-go and the JDBC driver check the checksum.
    content = analyst.send("SELECT 1", compress=1).content
    assert content.hex() == "de79cf087fb635049db816df195b016b820c0000000200000020310a"  # pragma: allowlist secret

    many = analyst.send("SELECT number FROM numbers(300000)", compress=1, enable_http_compression=1).content
    assert blocks.decode(many, 10_000_000) == b"".join(b"%d\n" % number for number in range(300_000))
    assert analyst.send("SELECT * FROM nothing", compress=1).text.startswith("Code: 60.")


def test_compressed_blocks_of_a_request_are_read(writer: ClickHouseHttp) -> None:
    writer.query("CREATE TABLE IF NOT EXISTS rows (a UInt32) ENGINE = Memory")
    body = b"".join(b"%d\n" % number for number in range(300_000))
    query: dict[str, Any] = {"query": "INSERT INTO rows FORMAT TSV", "decompress": 1}
    assert writer.send(blocks.encode(body), **query).written_rows == 300_000
    assert writer.send(blocks.encode(b"SELECT sum(a) FROM rows"), decompress=1).text == "44999850000\n"

    damaged = bytearray(blocks.encode(body))
    damaged[40] ^= 1
    assert writer.send(bytes(damaged), **query).code == 40
    assert writer.send(blocks.encode(body)[:-1], **query).code == 33
    assert writer.send(b"short", **query).code == 33
    assert writer.send(blocks.encode(b"x" * 270_000_000), **query).code == 241
    assert writer.query("SELECT count() FROM rows") == "300000"


def test_block_of_zstd_is_read_and_has_the_size_that_it_says(writer: ClickHouseHttp) -> None:
    compressed = zstandard.ZstdCompressor().compress(b"SELECT 1")
    assert writer.send(block(0x90, compressed, 8), decompress=1).text == "1\n"

    # Memory for the whole frame would be taken before its size was known to be wrong.
    reply = writer.send(block(0x90, compressed, 1), decompress=1)
    assert (reply.code, "frame of a block has not 1 bytes" in reply.text) == (271, True)
    assert writer.send(block(0x02, b"SELECT 2", 8), decompress=1).text == "2\n"
    assert writer.send(block(0x99, b"SELECT 2", 8), decompress=1).code == 432


def test_native_is_framed_for_a_protocol_version(analyst: ClickHouseHttp) -> None:
    sql = "SELECT 1::UInt8 AS a, 'x' AS b FORMAT Native"
    plain = b"\x02\x01\x01a\x05UInt8\x01\x01b\x06String\x01x"
    assert analyst.send(sql).content == plain
    assert analyst.send(sql, client_protocol_version=54405).content == plain
    framed = BLOCK_INFO + b"\x02\x01\x01a\x05UInt8\x00\x01\x01b\x06String\x00\x01x"
    assert analyst.send(sql, client_protocol_version=GO).content == framed
    assert (
        lz4.block.decompress(
            analyst.send(sql, client_protocol_version=GO, compress=1).content[25:], uncompressed_size=len(framed)
        )
        == framed
    )
    assert analyst.send("SELECT 1 FORMAT TSV", client_protocol_version=GO).text == "1\n"
    assert analyst.send("SELECT sumState(1) FORMAT Native", client_protocol_version=GO).code == 48


@pytest.mark.parametrize("settings", [{}, FLATTENED, AS_TEXT], ids=["", "flattened", "as text"])
@pytest.mark.parametrize(
    "value",
    [
        "number",
        "toString(number)",
        "(1::Int256, 2::Decimal(38, 2), 3::Decimal(9, 2), toFixedString('abc', 3), now64(3, 'Asia/Tokyo'), true)",
        "(generateUUIDv4(), '::1'::IPv6, INTERVAL 1 DAY, 'b'::Enum8('a, (' = 1, 'b' = 2))",
        "[if(number = 1, NULL, 'x')]",
        "CAST((1, ['x']), 'Tuple(`a, b` UInt8, c Array(LowCardinality(Nullable(String))))')",
        "map('a', (number, 'b'), 'c', (2, 'd'))",
        "([[(1, 2)]]::Polygon, tuple(), CAST([(1, 'a')], 'Nested(a UInt8, b String)'))",
        "toLowCardinality(toString(number % 3))",
        "emptyArrayString()::Array(LowCardinality(String))",
        "number::Variant(UInt64, String)",
        "multiIf(number = 0, 1::Dynamic, number = 1, 'x'::Dynamic, number = 2, NULL, [2]::Dynamic)",
        "if(number % 2, 1::Dynamic(max_types=1), 'x'::Dynamic(max_types=1))",
        "arrayMap(x -> x::Dynamic, range(number))",
        JSON.replace("{0}", "1"),
        JSON.replace("{0}", "8"),
        "arrayResize(['{\"a\":1}'::JSON], number)",
    ],
)
def test_end_of_a_column_of_each_type_is_found(writer: ClickHouseHttp, value: str, settings: dict[str, Any]) -> None:
    sql = f"SELECT {value} AS x, (7 + number)::UInt8 AS z FROM numbers(4) FORMAT Native"  # noqa: S608
    plain = writer.send(sql, **settings).content
    framed = writer.send(sql, **settings, client_protocol_version=GO).content

    assert plain.endswith(b"\x01z\x05UInt8\x07\x08\x09\x0a")
    assert framed.startswith(BLOCK_INFO + plain[:4])
    assert framed.endswith(b"\x01z\x05UInt8\x00\x07\x08\x09\x0a")
    assert len(framed) == len(plain) + len(BLOCK_INFO) + 2


def test_settings_of_drivers_are_allowed_and_limits_stay(analyst: ClickHouseHttp) -> None:
    # clickhouse-go sends both with its compression.
    assert analyst.query("SELECT 1", network_compression_method="LZ4", network_zstd_compression_level=3) == "1"
    assert analyst.send("SELECT 1", max_execution_time=0).code == 452
