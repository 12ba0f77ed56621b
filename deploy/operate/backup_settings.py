"""Settings of `sequence backup` and `sequence restore`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.settings import setting


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Where a ClickHouse server keeps the rows of backups."""

    to: str = setting(
        "SEQUENCE_BACKUP_TO",
        "",
        "Where a ClickHouse server writes the rows of a backup",
        secret=True,
    )
