"""The ingest paths, and which of them a request with another path meant. Pure.

`/event/batch` is the documented path; the others are those that Segment's libraries send to.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway.ingest.envelope import EXAMPLE_BODIES
from gateway.ingest.rules import PathType

BATCH_PATH = "/event/batch"

_NAMES: dict[str, PathType | None] = {
    **dict.fromkeys(("batch", "import", "b")),
    **dict.fromkeys(("track", "t"), "track"),
    **dict.fromkeys(("identify", "i"), "identify"),
    **dict.fromkeys(("page", "p"), "page"),
    **dict.fromkeys(("screen", "s"), "screen"),
    **dict.fromkeys(("group", "g"), "group"),
    **dict.fromkeys(("alias", "a"), "alias"),
}

INGEST_PATHS: dict[str, PathType | None] = {
    BATCH_PATH: None,
    **{f"/v1/{name}": kind for name, kind in _NAMES.items()},
    **{f"/{name}": kind for name, kind in _NAMES.items()},
}
"""The type that each path gives to its item; None for a path of batches."""

_BY_NAME = {name: f"/v1/{name}" if kind else BATCH_PATH for name, kind in _NAMES.items() if len(name) > 1}
_NAME = re.compile(f"/({'|'.join(_BY_NAME)})")
_SLASHES = re.compile("//+")
_LONGEST = 64
"""Characters of a path that is compared to the known ones."""


def without_extra_slashes(path: str) -> str:
    """Return *path* without doubled slashes and without one at its end."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"


def meant_path(path: str, known: Collection[str]) -> str | None:
    """Return which of the *known* paths the sender of *path* probably meant, None if none is similar.

    Letters of the wrong case are found, a known path behind another one, as a library makes it that appends its own
    path to a host with a path, and a last part that begins with a name, such as `/v2/batches`.
    """
    lowered = without_extra_slashes(path[:_LONGEST].lower())
    if lowered in known:
        return lowered
    # The longest end is the most specific; a single letter says too little.
    if ends := [each for each in known if len(each) > 2 and lowered.endswith(each)]:
        return max(ends, key=len)
    names = _NAME.findall(lowered)
    return _BY_NAME[names[-1]] if names else None


def how_to_send(path: str) -> str:
    """Return the right form of a request to the ingest *path*, for the message of an error."""
    body = EXAMPLE_BODIES.get(INGEST_PATHS[path], EXAMPLE_BODIES["track"])
    return f"Send `POST {path}` with the header `Authorization: Bearer <token>` and a body such as `{body}`."
