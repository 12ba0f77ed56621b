"""Item to Kafka record and back; the only owner of keys, partitions and headers.

Partitions are Kafka's own default, `murmur2(key) % partitions` (`org.apache.kafka.common.utils.Utils.murmur2`, which is
MurmurHash2 with a seed of Kafka's), so that any client agrees on them.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
from collections.abc import Iterable

import msgspec
from murmurhash2 import murmurhash2

from schemas.items import Identify, Item, Rejection

ORIGIN = "origin"
"""Header: the offset of the item on `items.v1`, decimal text; on `events.v1` of the same partition."""
MESSAGE_ID = "message_id"
"""Header: the item's messageId, UTF-8."""
ORIGIN_PARTITION = "origin_partition"
"""Header on `identifies.v1`: the partition that `origin` counts in."""

REJECTED_CONTENT_LIMIT_BYTES = 1024 * 1024

Headers = tuple[tuple[str, bytes], ...]
KeyValue = tuple[bytes, bytes]
"""A record without headers."""

_SEED = 0x9747B28C
_POSITIVE = 0x7FFFFFFF
_decoder: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_encode = msgspec.json.Encoder().encode


class InvalidRecordError(ValueError):
    """The bytes of a record are not an item."""


class Record(msgspec.Struct, frozen=True, gc=False):
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


def keyed_items(project_id: str, items: Iterable[Item]) -> list[KeyValue]:
    """Return the records of *items*, all of one project, on `items.v1`: of each what `item_record` has."""
    before = f"{project_id}/"
    return [((before + item.message_id).encode(), _encode(item)) for item in items]


def origin_of(headers: Iterable[tuple[str, bytes]]) -> int:
    """Return the origin that *headers* of a record on `events.v1` tell; KeyError where they do not."""
    for name, value in headers:
        if name == ORIGIN:
            return int(value)
    raise KeyError(f"no header {ORIGIN!r}")


def event_headers(message_id: bytes, origin: int) -> Headers:
    """Return the headers of a record on `events.v1`."""
    return ((ORIGIN, b"%d" % origin), (MESSAGE_ID, message_id))


def identify_headers(message_id: bytes, origin: int, partition: int) -> Headers:
    """Return the headers of a record on `identifies.v1`; *origin* counts in *partition* of `items.v1`."""
    return (*event_headers(message_id, origin), (ORIGIN_PARTITION, b"%d" % partition))


def identify_record(identify: Identify, value: bytes, *, origin: int, partition: int) -> Record:
    """Return the record on `identifies.v1` of *identify*, which is *value* at offset *origin* of *partition*."""
    headers = identify_headers(identify.message_id.encode(), origin, partition)
    return Record(person_key(identify.project_id, identify.user_id), value, headers)


def rejection_record(rejection: Rejection, content: bytes) -> Record:
    """Return the record on `rejected.v1` for *content*, which is cut at `REJECTED_CONTENT_LIMIT_BYTES`.

    The same content refused twice for the same reason has the same key: readers drop the repeat by it.
    """
    digest = hashlib.blake2b(rejection.code.encode() + b"\0" + content, digest_size=16).hexdigest()
    kept = content[:REJECTED_CONTENT_LIMIT_BYTES]
    truncated = len(kept) < len(content)
    text = _readable(kept, truncated=truncated)
    base64_text = None if text is not None else base64.b64encode(kept).decode()
    rejection = msgspec.structs.replace(rejection, content=text, content_base64=base64_text, truncated=truncated)
    return Record(f"{rejection.project_id}/{digest}".encode(), _encode(rejection))


def _readable(content: bytes, *, truncated: bool) -> str | None:
    """Return *content* as text, None where it is not UTF-8 or would be much longer in JSON, as control codes are.

    Where it is *truncated*, its last character may be cut in two and is left out.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content, final=not truncated)
    except UnicodeDecodeError:
        return None
    return text if len(_encode(text)) <= 2 * REJECTED_CONTENT_LIMIT_BYTES else None


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition of *key*, as Kafka's default partitioner places it."""
    return partitions_for((key,), partitions)[0]


def partitions_for(keys: Iterable[bytes], partitions: int) -> list[int]:
    """Return the partition of each of *keys*, as Kafka's default partitioner places them."""
    return [(murmurhash2(key, _SEED) & _POSITIVE) % partitions for key in keys]
