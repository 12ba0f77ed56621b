"""What is wrong, and what to do about it: the answer of `sequence status` and `sequence doctor`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

Level = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    level: Level
    """`error`: items are not accepted, wait or will be lost. `warning`: this will follow unless somebody acts."""
    check: str
    """What was checked, a word."""
    what: str
    """What is wrong, with its value."""
    why: str
    """Why it matters."""
    remedy: str
    """What to do; a command where one helps."""
    since: str | None = None
    """Since when it is so, in UTC; None if that is not known."""


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return *findings*, errors first."""
    return sorted(findings, key=lambda finding: finding.level)


def lines(finding: Finding) -> list[str]:
    """Return *finding* for people."""
    since = ""
    if finding.since is not None:
        since = f" Since {datetime.fromisoformat(finding.since).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    return [
        f"{finding.level.upper():<8} {finding.check}: {finding.what}{since}",
        f"         {finding.why}",
        f"         {finding.remedy}",
    ]
