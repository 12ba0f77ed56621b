"""Item to Kafka record and back; the only owner of keys, partitions and headers.

Partitions are Kafka's own default, `murmur2(key) % partitions`
(`org.apache.kafka.common.utils.Utils.murmur2`), so that any client agrees on them.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from struct import unpack_from

import msgspec

from schemas.items import Item, Rejection

ORIGIN = "origin"
"""Header: the offset of the item on `items.v1`, decimal text; on `events.v1` of the same partition."""
MESSAGE_ID = "message_id"
"""Header: the item's messageId, UTF-8."""
ORIGIN_PARTITION = "origin_partition"
"""Header on `identifies.v1`: the partition that `origin` counts in."""

REJECTED_CONTENT_LIMIT_BYTES = 1024 * 1024

Headers = tuple[tuple[str, bytes], ...]

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_decoder: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_encode = msgspec.json.Encoder().encode


class InvalidRecordError(ValueError):
    """The bytes of a record are not an item."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer needs to know to send it; the partition follows from the key."""

    key: bytes
    value: bytes
    headers: Headers = ()


def item_key(project_id: str, message_id: str) -> bytes:
    """Return the dedupe key. A project's id has no slash, so two pairs never share a key."""
    return f"{project_id}/{message_id}".encode()


def person_key(project_id: str, user_id: str) -> bytes:
    """Return the key of a person on `identifies.v1` and `persons.v1`."""
    return f"{project_id}/{user_id}".encode()


def encode_item(item: Item) -> bytes:
    """Return the JSON value of *item* for `items.v1`."""
    return _encode(item)


def decode_item(value: bytes | None) -> Item:
    """Return the item of a record's *value*; `InvalidRecordError` says what is wrong with the bytes."""
    try:
        return _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecordError(str(error)) from error


def item_record(item: Item) -> Record:
    """Return the record of *item* on `items.v1`."""
    return Record(item_key(item.project_id, item.message_id), encode_item(item))


def event_headers(message_id: bytes, origin: int) -> Headers:
    """Return the headers of a record on `events.v1`."""
    return ((ORIGIN, b"%d" % origin), (MESSAGE_ID, message_id))


def rejection_record(rejection: Rejection, content: bytes) -> Record:
    """Return the record on `rejected.v1` for *content*, which is cut at `REJECTED_CONTENT_LIMIT_BYTES`.

    The same content refused twice for the same reason has the same key: readers drop the repeat by it.
    """
    digest = hashlib.blake2b(rejection.code.encode() + b"\0" + content, digest_size=16).hexdigest()
    kept = content[:REJECTED_CONTENT_LIMIT_BYTES]
    truncated = len(kept) < len(content)
    try:
        text = kept.decode("utf-8", "strict" if not truncated else "ignore")
    except UnicodeDecodeError:
        rejection = msgspec.structs.replace(
            rejection, content_base64=base64.b64encode(kept).decode(), truncated=truncated
        )
    else:
        rejection = msgspec.structs.replace(rejection, content=text, truncated=truncated)
    return Record(f"{rejection.project_id}/{digest}".encode(), _encode(rejection))


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition of *key*, as Kafka's default partitioner places it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit murmur2 of *data*, unsigned."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for k in unpack_from(f"<{whole >> 2}I", data):
        k = k * _M & _MASK  # noqa: PLW2901  # the mix of the algorithm, in its own terms
        k ^= k >> 24  # noqa: PLW2901
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    rest = length & 3
    if rest:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ (h >> 15)
