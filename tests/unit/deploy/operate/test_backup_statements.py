"""Destinations of backups as a person writes them: paths, and credentials that no text shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.operate import backup_statements
from deploy.operate.backup_manifest import STEPS

S3 = "S3('https://me:password@host/b/', 'KEY', 'SECRET')"


@pytest.mark.parametrize(
    ("written", "place", "shown"),
    [
        (
            S3,
            "S3('https://me:password@host/b/N/rows', 'KEY', 'SECRET')",
            "S3('https://host/b/', …)",
        ),
        ("s3(backups)", "s3(backups, 'N/rows')", "s3(backups, '')"),
        ("S3(backups, 'a/')", "S3(backups, 'a/N/rows')", "S3(backups, 'a/')"),
        ("Disk('backups', '')", "Disk('backups', 'N/rows')", "Disk('backups', '')"),
        ("File('/it\\'s')", "File('/it\\'s/N/rows')", "File('/it\\'s')"),
        (
            "AzureBlobStorage('k=v;AccountKey=x', 'c', 'p')",
            "AzureBlobStorage('k=v;AccountKey=x', 'c', 'p/N/rows')",
            "AzureBlobStorage(…, 'c', 'p')",
        ),
    ],
)
def test_destination_gets_a_path_for_each_statement(written: str, place: str, shown: str) -> None:
    destination = backup_statements.parse(written)

    assert destination.sql("N", "rows") == place
    assert str(destination) == shown


def test_text_about_a_destination_has_no_credentials() -> None:
    failed = f"Code: 499. The access key KEY is unknown: BACKUP TO {S3}"

    assert not {"KEY", "SECRET", "pass"} & set(backup_statements.parse(S3).hide(failed).replace("'", " ").split())
    hidden = backup_statements.parse(S3).hide(failed)
    assert all(secret not in hidden for secret in ("KEY", "SECRET", "pass"))


@pytest.mark.parametrize(
    "written",
    [
        *("", "/backups", "S3", "S3()", "S3('a'", "url('http://host')", "Disk('backups')", "File(backups)"),
        *("File('/a') SETTINGS x = 1", "File('/a'); DROP TABLE events", "S3('a' 'b')", "Memory('m')", "File(('/a'))"),
    ],
)
def test_anything_else_is_no_destination(written: str) -> None:
    with pytest.raises(ValueError, match="not one of ClickHouse"):
        backup_statements.parse(written)


def test_path_that_clickhouse_cannot_store_is_refused() -> None:
    with pytest.raises(ValueError, match="has the character &"):
        backup_statements.in_directory(Path("/a&b"))


def test_names_and_places_are_quoted() -> None:
    made = backup_statements.backup(["a`b"], "sequence", "File('/x')", {"async": "true", "id": "'i'"})

    assert made == r"BACKUP TABLE `sequence`.`a\`b` TO File('/x') SETTINGS async = true, id = 'i'"


def test_notes_are_saved_before_the_rows_and_logs_after_them() -> None:
    order = list(STEPS)

    assert order.index("positions") < order.index("rows") < order.index("logs")
    assert "_positions" in (STEPS["positions"] or ())
    assert "_logs" in (STEPS["logs"] or ())
