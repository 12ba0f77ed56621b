"""Numbers of bytes for people."""

from __future__ import annotations


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit in {"B", "KiB"} else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
