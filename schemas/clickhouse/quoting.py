"""How names and texts are written in a statement of ClickHouse. Pure."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return *name* as an identifier."""
    return _between("`", name)


def literal(text: str) -> str:
    """Return *text* as a string."""
    return _between("'", text)


def _between(quote: str, text: str) -> str:
    # The parser ends a query at NUL.
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\0", "\\0")
    return f"{quote}{escaped}{quote}"
