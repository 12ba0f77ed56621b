"""Rotation of a service's log file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from deploy.local.log_file import LogFile


def test_rotation_keeps_two_files_within_the_limit(tmp_path: Path) -> None:
    with closing(LogFile(tmp_path / "service.log", limit_bytes=100)) as log:
        for number in range(1000):
            log.write(b"line %03d\n" % number)

    kept = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert kept.keys() == {"service.log", "service.log.1"}
    assert max(kept.values()) <= 100
    assert (tmp_path / "service.log").read_text().endswith("line 999\n")


def test_write_larger_than_the_limit_is_kept_whole(tmp_path: Path) -> None:
    with closing(LogFile(tmp_path / "service.log", limit_bytes=10)) as log:
        log.write(b"x" * 50)

    assert (tmp_path / "service.log").stat().st_size == 50


def test_reopened_log_is_appended_to(tmp_path: Path) -> None:
    with closing(LogFile(tmp_path / "service.log")) as log:
        log.write(b"first\n")

    with closing(LogFile(tmp_path / "service.log")) as log:
        log.write(b"second\n")

    assert (tmp_path / "service.log").read_text() == "first\nsecond\n"
