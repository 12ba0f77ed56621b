"""Finds files by what they contain, in a directory whose files may be removed meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_with(directory: Path, content: bytes) -> Iterator[Path]:
    """Yield the path of each file below *directory* that has *content*, relative to *directory*."""
    # Unlike `rglob`, it passes over a directory that is removed meanwhile.
    for place, _, names in os.walk(directory):
        for path in (Path(place, name) for name in names):
            if path.is_file() and content in _content(path):
                yield path.relative_to(directory)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
