"""Which old backups are deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploy.operate.backup_manifest import FORMAT, Manifest
from deploy.operate.backup_prune import make_plan

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def backup(age: float, base: str | None = None, destination: str | None = None) -> Manifest:
    """Return a backup of *age* in days, which is its name."""
    return Manifest(
        FORMAT,
        f"{age:g}",
        (NOW - timedelta(days=age)).isoformat(),
        1.0,
        "1",
        "1",
        "sequence",
        destination,
        base,
        {},
        (),
        (),
        {},
        {},
        None,
    )


def names(backups: list[Manifest], days: int = 30) -> tuple[list[str], list[str], list[str]]:
    """Return the names of those that are deleted, that are needed, and that are elsewhere."""
    plan = make_plan(backups, days, NOW)
    deleted, needed, elsewhere = (
        [each.name for each in found] for found in (plan.deleted, plan.needed, plan.elsewhere)
    )
    return deleted, needed, elsewhere


@pytest.mark.parametrize(
    ("backups", "expected"),
    [
        ([], ([], [], [])),
        ([backup(40)], ([], [], [])),
        ([backup(40), backup(29)], (["40"], [], [])),
        ([backup(30), backup(29)], ([], [], [])),
        ([backup(40), backup(35, "40"), backup(1)], (["35", "40"], [], [])),
        ([backup(40), backup(35, "40"), backup(29, "35"), backup(1)], ([], ["40", "35"], [])),
        ([backup(47), backup(40), backup(35, "40"), backup(29, "40")], (["35", "47"], ["40"], [])),
        # The newest stays, with its base.
        ([backup(47), backup(40, "47")], ([], ["47"], [])),
        ([backup(47, destination="S3('x')"), backup(40), backup(1)], (["40"], [], ["47"])),
        # One that stays elsewhere needs its base.
        ([backup(47), backup(40, "47", "S3('x')"), backup(1)], ([], ["47"], ["40"])),
        # A base that was deleted by hand.
        ([backup(40, "90"), backup(29, "40"), backup(1)], ([], ["40"], [])),
    ],
)
def test_old_backups_are_deleted_unless_a_newer_one_needs_them(
    backups: list[Manifest], expected: tuple[list[str], list[str], list[str]]
) -> None:
    assert names(backups) == expected


def test_none_is_left_without_its_base_at_any_time() -> None:
    deleted, _, _ = names([backup(60), backup(50, "60"), backup(40, "50"), backup(1)])

    assert deleted == ["40", "50", "60"]
