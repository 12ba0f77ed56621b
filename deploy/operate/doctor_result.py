"""What `sequence doctor` answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deploy.operate.finding import Finding, Level
from schemas.sizes import size

GIB = 1024**3


class Check(msgspec.Struct, kw_only=True, rename="camel"):
    """One subject and what is wrong with it."""

    name: str
    about: str
    """What was found, with values."""
    findings: list[Finding]


class Report(msgspec.Struct, kw_only=True, rename="camel"):
    """The answer."""

    at: str
    checks: list[Check]

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, errors first."""
        found = [finding for check in self.checks for finding in check.findings]
        return sorted(found, key=lambda finding: finding.level)


def describe(report: Report) -> dict[str, Any]:
    """Return *report* as `--json` prints it."""
    return {
        "at": report.at,
        "checks": [{"name": each.name, "about": each.about} for each in report.checks],
        "findings": msgspec.to_builtins(report.findings),
    }


def unchecked(name: str, reason: str) -> Check:
    """Return the check *name*, which could not be made."""
    finding = Finding(
        level="warning",
        check=name,
        what=f"Not checked: {reason}",
        why="What is wrong here stays unknown.",
        remedy="Correct the cause, and run `sequence doctor` again.",
    )
    return Check(name=name, about="not checked", findings=[finding])


def disk(name: str, path: str, free: int, total: int) -> tuple[str, list[Finding]]:
    """Return what the free space of a disk means: an error below 2 GiB, a warning below 10 GiB or 5 %."""
    about = f"{name}: {size(free)} of {size(total)} free"
    level: Level | None = None
    if free < 2 * GIB:
        level = "error"
    elif free < 10 * GIB or free < total / 20:
        level = "warning"
    if level is None:
        return about, []
    return about, [
        Finding(
            level=level,
            check="disk",
            what=f"{about} ({path}).",
            why="On a full disk Kafka stops, gateways answer 503, and ClickHouse writes no rows.",
            remedy="Free space, enlarge the disk, or shorten what is kept: SEQUENCE_ITEMS_RETENTION_DAYS, and old "
            "partitions of the tables.",
        )
    ]


def worst(findings: Sequence[Finding]) -> Level | None:
    """Return the highest level, None without findings."""
    levels = {finding.level for finding in findings}
    return "error" if "error" in levels else "warning" if levels else None
