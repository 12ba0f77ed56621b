"""The format Native for clients with a protocol version: blocks with their information, columns with a flag. Pure.

A client sets `client_protocol_version` in the URL, and a server writes the format for it. The engine alone has no
version, so that it writes neither what precedes a block nor the flag of a column's serialization. `framed` inserts both
and leaves the bytes of the columns as they are.

https://github.com/ClickHouse/ClickHouse/blob/master/src/Formats/NativeWriter.cpp
"""

from __future__ import annotations

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.native_columns import Source, column

FRAMED_SINCE = 54454
"""The protocol version since which columns have a flag. Older clients are content with the format as it is."""

_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""No row of totals, and no bucket."""
_DEFAULT_SERIALIZATION = b"\x00"


def framed(content: bytes) -> bytes:
    """Return *content*, a result in Native of the engine, as a client with a protocol version reads it.

    Raises `QueryError` for a column of a type whose end is not known.
    """
    source = Source(content)
    parts: list[bytes] = []
    while source.at < len(content):
        parts.append(_BLOCK_INFO)
        begin = source.at
        columns, rows = source.number(), source.number()
        for _ in range(columns):
            source.text()
            kind = source.text()
            parts += (content[begin : source.at], _DEFAULT_SERIALIZATION)
            begin = source.at
            if rows:
                values = column(kind)
                values.prefix(source)
                values.values(source, rows)
        parts.append(content[begin : source.at])
    if source.at != len(content):
        raise QueryError(
            48, "The result cannot be sent to this client in the format Native: its end is not where expected."
        )
    return b"".join(parts)
