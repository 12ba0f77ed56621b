"""Kafka records of items and rejections: keys, headers, values and partitions.

An item's *source offset* is the offset that it has on `items.v1`. Records derived from the item carry it in the header
`origin`, and rows in the column `_origin`.

Partitions follow Kafka's default partitioner, `murmur2(key) % partitions` (`org.apache.kafka.common.utils.Utils`:
MurmurHash2 with Kafka's seed), so all clients agree on them.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import zlib
from collections.abc import Iterable

import msgspec
from murmurhash2 import murmurhash2

from schemas.items import Identify, Item, Rejection, Track

ORIGIN = "origin"
"""Header: the item's source offset, decimal text. On `events.v1` and `duplicates.v1` it belongs to the same partition
number."""
MESSAGE_ID = "message_id"
"""Header: the item's messageId, UTF-8."""
TIME = "time"
"""Header on `events.v1`: time from which the dedupe window is counted, decimal milliseconds since 1970."""
DIGEST = "digest"
"""Header on `events.v1`: `content_digest` of the item, 4 bytes, the lowest first."""
FIRST_ORIGIN = "first_origin"
"""Header on `duplicates.v1`: source offset of the event that has the messageId."""
SAME_CONTENT = "same_content"
"""Header on `duplicates.v1`: whether the content is that of the event, `true` or `false`; missing if unknown."""
ORIGIN_PARTITION = "origin_partition"
"""Header on `identifies.v1`: the partition of `items.v1` that the source offset belongs to."""

REJECTED_CONTENT_LIMIT_BYTES = 1024 * 1024

Headers = tuple[tuple[str, bytes], ...]
KeyValue = tuple[bytes, bytes]
"""A record without headers."""

_SEED = 0x9747B28C
_POSITIVE = 0x7FFFFFFF
_decoder: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_encode = msgspec.json.Encoder().encode


class InvalidRecordError(ValueError):
    """The bytes of a record do not decode to what its topic holds."""


class Erase(msgspec.Struct, frozen=True, tag_field="type", tag="erase", rename="camel", gc=False):
    """Tells the persons stage on `identifies.v1` that an erasure of the user was requested."""

    project_id: str
    user_id: str
    requested_at: int
    """That of the `Erasure`, microseconds since 1970."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record to send; its partition follows from the key."""

    key: bytes
    value: bytes
    headers: Headers = ()


_identify_decoder: msgspec.json.Decoder[Identify | Erase] = msgspec.json.Decoder(Identify | Erase)


def item_key(project_id: str, message_id: str) -> bytes:
    """Return the dedupe key. A project's ID contains no slash, so the key is unique for each pair."""
    return f"{project_id}/{message_id}".encode()


def person_key(project_id: str, user_id: str) -> bytes:
    """Return the key of a person on `identifies.v1` and `persons.v1`."""
    return f"{project_id}/{user_id}".encode()


def encode_item(item: Item) -> bytes:
    """Return the JSON value of *item* for `items.v1`."""
    return _encode(item)


INVALID_ITEM = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
read_item = _decoder.decode
"""Return the item in a record's value; raise one of `INVALID_ITEM` if it is none. Faster than `decode_item`."""


def decode_item(value: bytes | None) -> Item:
    """Return the item in a record's *value*; raise `InvalidRecordError` if it is none."""
    try:
        return read_item(value or b"")
    except INVALID_ITEM as error:
        raise InvalidRecordError(str(error)) from error


def item_record(item: Item) -> Record:
    """Return the record of *item* on `items.v1`."""
    return Record(item_key(item.project_id, item.message_id), encode_item(item))


def keyed_items(project_id: str, items: Iterable[Item]) -> list[KeyValue]:
    """Return key and value on `items.v1` of each of *items*, all of one project; equal to `item_record`."""
    prefix = f"{project_id}/"
    return [((prefix + item.message_id).encode(), _encode(item)) for item in items]


def source_offset_of(headers: Iterable[tuple[str, bytes]]) -> int:
    """Return the source offset in *headers*; raise `KeyError` without the header, `ValueError` if it is no number."""
    for name, value in headers:
        if name == ORIGIN:
            return int(value)
    raise KeyError(f"no header {ORIGIN!r}")


def event_headers(
    message_id: bytes, source_offset: int, time_ms: int | None = None, digest: int | None = None
) -> Headers:
    """Return the headers of a record on `events.v1`. Older records have neither time nor digest."""
    headers = ((ORIGIN, b"%d" % source_offset), (MESSAGE_ID, message_id))
    if time_ms is None or digest is None:
        return headers
    return (*headers, (TIME, b"%d" % time_ms), (DIGEST, digest.to_bytes(4, "little")))


def duplicate_headers(source_offset: int, first_offset: int, *, same_content: bool | None) -> Headers:
    """Return the headers of a record on `duplicates.v1`; *first_offset* is the source offset of the event."""
    headers = ((ORIGIN, b"%d" % source_offset), (FIRST_ORIGIN, b"%d" % first_offset))
    if same_content is None:
        return headers
    return (*headers, (SAME_CONTENT, b"true" if same_content else b"false"))


def duplicate_of(headers: Iterable[tuple[str, bytes]]) -> tuple[int, int, bool | None]:
    """Return source offset, that of the event, and whether the content is the same, from `duplicate_headers`.

    Raises `KeyError` without a header, and `ValueError` if an offset is no number.
    """
    named = dict(headers)
    same_content = named.get(SAME_CONTENT)
    return int(named[ORIGIN]), int(named[FIRST_ORIGIN]), None if same_content is None else same_content == b"true"


def content_digest(item: Item) -> int:
    """Return a checksum of 32 bits of what a producer says with *item*.

    That is type, event, userId, the timestamp as sent, and the bytes of properties or traits. An SDK's retry, with
    another `sentAt` and `receivedAt`, has the same digest.
    """
    if isinstance(item, Track):
        said = f"{item.event}\0{item.user_id}\0{item.original_timestamp}\0".encode()
        return zlib.crc32(b"".join((said, item.properties)))
    return zlib.crc32(b"".join((f"\0{item.user_id}\0{item.original_timestamp}\0".encode(), item.traits)))


def identify_headers(message_id: bytes, source_offset: int, partition: int) -> Headers:
    """Return the headers of a record on `identifies.v1`; *source_offset* belongs to *partition* of `items.v1`."""
    return (*event_headers(message_id, source_offset), (ORIGIN_PARTITION, b"%d" % partition))


def identify_record(identify: Identify, value: bytes, *, source_offset: int, partition: int) -> Record:
    """Return the record on `identifies.v1` of *identify*, encoded as *value*, from *partition* of `items.v1`."""
    headers = identify_headers(identify.message_id.encode(), source_offset, partition)
    return Record(person_key(identify.project_id, identify.user_id), value, headers)


def erase_record(project_id: str, user_id: str, requested_at: int) -> Record:
    """Return the record on `identifies.v1` of an erasure of the user that was requested at *requested_at*."""
    return Record(person_key(project_id, user_id), _encode(Erase(project_id, user_id, requested_at)))


def decode_identify(value: bytes | None) -> Identify | Erase:
    """Return what a record's *value* on `identifies.v1` is; raise `InvalidRecordError` if it is neither."""
    try:
        return _identify_decoder.decode(value or b"")
    except INVALID_ITEM as error:
        raise InvalidRecordError(str(error)) from error


def rejection_record(rejection: Rejection, content: bytes) -> Record:
    """Return the record on `rejected.v1` for *content*, cut at `REJECTED_CONTENT_LIMIT_BYTES`.

    The key is a hash of code and content, so that readers can drop repeats by key.
    """
    digest = hashlib.blake2b(rejection.code.encode() + b"\0" + content, digest_size=16).hexdigest()
    kept = content[:REJECTED_CONTENT_LIMIT_BYTES]
    truncated = len(kept) < len(content)
    text = _as_text(kept, truncated=truncated)
    base64_text = None if text is not None else base64.b64encode(kept).decode()
    rejection = msgspec.structs.replace(rejection, content=text, content_base64=base64_text, truncated=truncated)
    return Record(f"{rejection.project_id}/{digest}".encode(), _encode(rejection))


def _as_text(content: bytes, *, truncated: bool) -> str | None:
    """Return *content* as text; None if it is not UTF-8 or JSON escapes would make it more than twice the limit.

    An incomplete last character of *truncated* content is dropped.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=not truncated)
    except UnicodeDecodeError:
        return None
    return text if len(_encode(text)) <= 2 * REJECTED_CONTENT_LIMIT_BYTES else None


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition of *key* by Kafka's default partitioner."""
    return partitions_for((key,), partitions)[0]


def partitions_for(keys: Iterable[bytes], partitions: int) -> list[int]:
    """Return the partition of each of *keys* by Kafka's default partitioner."""
    return [(murmurhash2(key, _SEED) & _POSITIVE) % partitions for key in keys]
