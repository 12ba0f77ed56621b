"""`sequence backup prune`: deletes old backups, but none that a newer one needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from deploy.operate.backup_directory import MANIFEST, Directory
from deploy.operate.backup_manifest import Manifest


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the backups that are older than asked."""

    deleted: Sequence[Manifest]
    """The newest first, so that none is left without its base at any time."""
    needed: Sequence[Manifest]
    """Bases of backups that stay."""
    elsewhere: Sequence[Manifest]
    """ClickHouse wrote their rows to another place, where this command cannot delete them."""


def make_plan(backups: Sequence[Manifest], days: int, now: datetime) -> Plan:
    """Return what to do with *backups*, the oldest first, that are older than *days*. The newest one stays."""
    before = now - timedelta(days=days)
    old = [each for each in backups[:-1] if datetime.fromisoformat(each.created_at) < before]
    bases = {each.name: each.base for each in backups}
    needed: set[str] = set()
    for each in backups:
        name = None if each in old and each.destination is None else each.base
        while name is not None and name not in needed:
            needed.add(name)
            name = bases.get(name)
    unneeded = [each for each in reversed(old) if each.name not in needed]
    return Plan(
        [each for each in unneeded if each.destination is None],
        [each for each in old if each.name in needed],
        [each for each in unneeded if each.destination is not None],
    )


def delete(directory: Directory, plan: Plan) -> None:
    """Delete the backups of *plan* from *directory*; raises `OSError`. One that is not deleted wholly is incomplete."""
    for each in plan.deleted:
        path = directory.path / each.name
        (path / MANIFEST).unlink()
        shutil.rmtree(path)
