"""A record that a stage writes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Output(msgspec.Struct, frozen=True, gc=False):
    """A record to write; its timestamp is the broker's. A list of headers is written without a copy."""

    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
