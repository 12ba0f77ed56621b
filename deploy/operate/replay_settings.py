"""The token of `sequence rejected replay`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.settings import setting


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What a replay sends with."""

    token: str = setting(
        "SEQUENCE_REPLAY_TOKEN", "", "Write token with which `sequence rejected replay` sends", secret=True
    )
