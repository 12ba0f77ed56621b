"""Finds user IDs in the content of rejected items, which may be no valid JSON, cut, or text inside a text. Pure.

Python and ClickHouse find the same: an erasure and a suppression concern the same rejections wherever they are.
"""

from __future__ import annotations

import re

import msgspec

from schemas.clickhouse.quoting import literal

_PATTERN = r"""user_?[iI]d\\*["']?\s*:\s*("(?:[^"\\]|\\.)*"|'[^'\\]*'|\\+"[^"\\]*\\+"|-?[0-9][0-9.eE+-]*)"""
"""The value of each `userId`, and of each `user_id` of a row: a text in quotes of any kind, or a number."""
_find = re.compile(_PATTERN.encode()).findall
_decode_text = msgspec.json.Decoder(str).decode


def user_ids_in(content: bytes) -> set[str]:
    """Return every user ID that *content* names."""
    return {_text(value) for value in _find(content)}


def _text(value: bytes) -> str:
    match value[:1]:
        case b'"':
            try:
                return _decode_text(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return value[1:-1].decode("utf-8", "replace")
        case b"'" | b"\\":
            return value.strip(b"\\").strip(b"\"'").strip(b"\\").decode("utf-8", "replace")
        case _:
            return value.decode()


def user_ids_sql(content: str) -> str:
    """Return the SQL expression of an array with every user ID that the text column *content* names."""
    text = (
        "multiIf(startsWith(v, '\"'), ifNull(JSONExtract(v, 'Nullable(String)'), substring(v, 2, length(v) - 2)),"
        " startsWith(v, '\\''), substring(v, 2, length(v) - 2),"
        " startsWith(v, '\\\\'), extract(v, '\"([^\"\\\\\\\\]*)'), v)"
    )
    return f"arrayMap(v -> {text}, extractAll({content}, {literal(_PATTERN)}))"
