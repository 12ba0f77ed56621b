"""The token of `sequence doctor --probe`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.settings import setting


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """What the probe sends with."""

    token: str = setting(
        "SEQUENCE_PROBE_TOKEN", "", "Write token with which `sequence doctor --probe` sends", secret=True
    )
