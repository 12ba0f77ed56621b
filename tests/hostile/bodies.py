"""Hostile bodies, each with its expected reply: the status, and the code of the error or of the first item."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import brotli
import zstandard

from tests.hostile.target import CANARY

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Body:
    """A body and the expected reply."""

    name: str
    expected: str
    """`200`, or the status and the code."""
    make: Callable[[], bytes]
    encoding: str = ""


def item(**fields: object) -> str:
    """Return a track as JSON."""
    return json.dumps({"type": "track", "event": "E", "userId": CANARY, **fields})


def batch(*items: str, more: str = "") -> bytes:
    """Return a batch of *items*."""
    return f'{{"batch": [{", ".join(items)}]{more}}}'.encode()


def value(text: str) -> bytes:
    """Return a batch of one item with the property `v`, its JSON value *text*."""
    return batch(item(properties={"v": "VALUE"}).replace('"VALUE"', text))


def _gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(4 * MIB)) for _ in range(110)) + packer.flush()


def _deflate_bomb() -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(4 * MIB)) for _ in range(110)) + packer.flush()


def _zstd_bomb() -> bytes:
    # A window of 1 MiB, then blocks of 128 KiB that are one byte repeated: four bytes each.
    return bytes.fromhex("28b52ffd0050") + (((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b" ") * 120_000


def _zstd_window_bomb() -> bytes:
    return bytes.fromhex("28b52ffd") + b"\x00\xf8" + ((128 * 1024) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b" "


def _brotli_bomb() -> bytes:
    packer = brotli.Compressor(quality=5)
    return b"".join([*(packer.process(bytes(4 * MIB)) for _ in range(250)), packer.finish()])


GOOD = batch(item())
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "br": brotli.compress,
}


def _broken() -> Iterator[Body]:
    text = batch(*[item(number=number) for number in range(50)])
    for encoding, compress in COMPRESS.items():
        whole = compress(text)
        yield Body(f"{encoding}, truncated", "400 corrupt_body", partial(bytes, whole[:-9]), encoding)
        flipped = bytes([*whole[:12], whole[12] ^ 0xFF, *whole[13:]])
        yield Body(f"{encoding}, a byte flipped", "400", partial(bytes, flipped), encoding)
        yield Body(f"{encoding}, trailing garbage", "400", partial(bytes, whole + b"garbage"), encoding)
        yield Body(f"{encoding}, empty", "400", lambda: b"", encoding)


BOMBS = [
    Body("gzip bomb, 440 MiB", "413 body_too_large", _gzip_bomb, "gzip"),
    Body("deflate bomb, 440 MiB", "413 body_too_large", _deflate_bomb, "deflate"),
    Body("zstd bomb, 15,000 MiB", "413 body_too_large", _zstd_bomb, "zstd"),
    Body("zstd frame with a large window", "400 corrupt_body", _zstd_window_bomb, "zstd"),
    Body("br bomb, 1000 MiB", "413 body_too_large", _brotli_bomb, "br"),
    Body("gzip in gzip", "400", lambda: gzip.compress(gzip.compress(GOOD)), "gzip"),
    Body("10,000 gzip members", "400 corrupt_body", lambda: gzip.compress(b"") * 10_000, "gzip"),
    Body("10,000 zstd frames", "400 corrupt_body", lambda: zstandard.compress(b"") * 10_000, "zstd"),
]
ENCODINGS = [
    Body("stacked encodings", "415 unsupported_encoding", lambda: GOOD, "gzip, br"),
    Body("the same encoding twice", "415 unsupported_encoding", lambda: GOOD, "gzip, gzip"),
    Body("unknown encoding", "415 unsupported_encoding", lambda: GOOD, "compress"),
    Body("encoding with a parameter", "415 unsupported_encoding", lambda: GOOD, "gzip;q=1"),
    Body("no gzip in spite of the header", "200", lambda: GOOD, "gzip"),
    Body("wrong encoding", "400 corrupt_body", lambda: zstandard.compress(GOOD), "gzip"),
    *_broken(),
]

WRONG: dict[str, tuple[str, ...]] = {
    "type": ("7", "[]", "{}", "true", '"TRACK"'),
    "userId": ("7.5", "[]", "{}", "true", '""', '" "', json.dumps("x" * 256), r'"\u0000"'),
    "event": ("7", "[]", "{}", "true", '""', json.dumps("x" * 256), r'"\u0000"'),
    "messageId": ("7.5", "[]", "{}", "true", '""', json.dumps("x" * 256), r'"a\u0000"'),
    "anonymousId": ("7.5", "[]", "{}", "true", r'"\u0000"'),
    "properties": ("7", '"x"', "[0]", "true"),
    "context": ("7", '"x"', "[0]", "true"),
    "integrations": ("7", '"x"', "[0]", "true"),
}
REPAIRED: dict[str, tuple[str, ...]] = {
    "userId": ("7",),
    "messageId": ("7",),
    "timestamp": ("7", "[]", "{}", "true", '"yesterday"', '"2026-13-01"', '""', '"' + "1" * 30_000 + '"'),
    "anonymousId": ("7",),
    "properties": ("[]",),
    "context": ("[]",),
    "integrations": ("[]",),
    "sentAt": ("7", "[]", "{}", "true"),
}
"""Values with a clear meaning, or whose loss costs no event."""


def _wrong_types() -> Iterator[Body]:
    for expected, fields in (("400", WRONG), ("200", REPAIRED)):
        for name, values in fields.items():
            for text in values:
                body = batch(item(**{name: "VALUE"}).replace('"VALUE"', text))
                yield Body(f"{name} is {text[:12]}", expected, partial(bytes, body))
    yield Body("type is page", "200", partial(batch, item(type="page")))
    yield Body("writeKey of the batch is a number", "400 invalid_type", partial(batch, item(), more=', "writeKey": 7'))
    for name in ("sentAt", "context", "integrations"):
        body = batch(item(), more=f', "{name}": 7')
        yield Body(f"{name} of the batch is a number", "200", partial(bytes, body))
    for text in ("7", "null", '"x"', "[]", "[[]]", "true", "{}"):
        yield Body(f"an item is {text}", "400", partial(batch, text))
        yield Body(f"batch is {text}", "400", partial(str.encode, f'{{"batch": {text}}}'))
        yield Body(f"the body is {text}", "400", partial(str.encode, text))


DEEP = "[" * 100 + "]" * 100
JSON = [
    Body("100 levels", "400 too_deep", lambda: value(DEEP)),
    Body("100 levels beside the batch", "200", lambda: batch(item(), more=f', "context": {{"a": {DEEP}}}')),
    Body("2,000,000 levels", "400 item_too_large", lambda: value("[" * 2_000_000 + "]" * 2_000_000)),
    Body("2,000,000 levels that never close", "400", lambda: b'{"batch": ' + b"[" * 2_000_000),
    Body("2,000,000 objects that never close", "400", lambda: b'{"a":' * 800_000),
    Body("10,000 keys", "400 item_too_large", lambda: batch(item(properties={f"k{n}": n for n in range(10_000)}))),
    Body("2,000 keys", "200", lambda: batch(item(properties={f"k{n}": n for n in range(2_000)}))),
    Body(
        "1,000,000 bytes beside 2,500 items",
        "400 item_too_large",
        lambda: batch(*[item()] * 2500, more=f', "context": {{"a": "{"x" * 10**6}"}}'),
    ),
    Body(
        "100,000 keys beside the batch", "200", lambda: batch(item(), more="".join(f', "k{n}":0' for n in range(10**5)))
    ),
    Body("a number of 30,000 digits", "200", lambda: value("9" * 30_000)),
    Body("a fraction of 30,000 digits", "200", lambda: value("0." + "9" * 30_000)),
    Body("1e999", "200", lambda: value("1e999")),
    Body("-1e999", "200", lambda: value("-1e999")),
    Body("1e-999", "200", lambda: value("1e-999")),
    Body("2**64", "200", lambda: value(str(2**64))),
    Body("NaN", "200", lambda: value("NaN")),
    Body("Infinity", "200", lambda: value("Infinity")),
    Body("-Infinity", "200", lambda: value("-Infinity")),
    Body("half a pair", "200", lambda: value(r'"\ud800"')),
    Body("halves the wrong way round", "200", lambda: value(r'"\udc00\ud800"')),
    Body("half a pair in a key", "200", lambda: value(r'{"\ud800": 1}')),
    Body("NUL in a value, escaped", "200", lambda: value(r'"\u0000"')),
    Body("NUL in a value, raw", "400", lambda: value('"\0"')),
    Body("a line end in a text", "400", lambda: value('"a\nb"')),
    Body("invalid UTF-8", "400 invalid_encoding", lambda: value('"é"').replace("é".encode(), b"\xff")),
    Body("UTF-8 of a half pair", "400 invalid_encoding", lambda: value('"é"').replace("é".encode(), b"\xed\xa0\x80")),
    Body("overlong UTF-8", "400 invalid_encoding", lambda: value('"é"').replace("é".encode(), b"\xc0\xaf")),
    Body("UTF-16", "400", lambda: GOOD.decode().encode("utf-16")),
    Body("byte order mark", "200", lambda: b"\xef\xbb\xbf" + GOOD),
    Body("two byte order marks", "400", lambda: b"\xef\xbb\xbf" * 2 + GOOD),
    Body("a key twice", "200", lambda: batch(item()[:-1] + f', "userId": "{CANARY}-2"}}')),
    Body("batch twice", "200", lambda: batch("7")[:-1] + b', "batch": [' + item().encode() + b"]}"),
    Body("2,501 items", "413 too_many_items", lambda: batch(*[item()] * 2501)),
    Body("1,000,000 items", "413 too_many_items", lambda: batch(*["7"] * 1_000_000)),
    Body("empty batch", "400 batch_empty", batch),
    Body("no body", "400 invalid_json", lambda: b""),
    Body("spaces alone", "400 invalid_json", lambda: b" " * 1_000_000),
    Body("two bodies", "400 invalid_json", lambda: GOOD * 2),
    Body("a body that ends early", "400 invalid_json", lambda: GOOD[:-1]),
    Body("5 MiB", "413 body_too_large", lambda: GOOD + b" " * (5 * MIB)),
    *_wrong_types(),
]
BODIES = [*BOMBS, *ENCODINGS, *JSON]
