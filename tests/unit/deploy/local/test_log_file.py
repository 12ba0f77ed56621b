"""The log of a part is bounded and its end can be shown."""

from __future__ import annotations

from pathlib import Path

from deploy.local.log_file import LogFile


def test_two_files_of_the_limit_are_all_that_is_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", limit_bytes=100)

    for number in range(1000):
        log.write(b"line %03d\n" % number)
    log.close()

    kept = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert kept.keys() == {"part.log", "part.log.1"}
    assert max(kept.values()) <= 100
    assert (tmp_path / "part.log").read_text().endswith("line 999\n")


def test_a_write_beyond_the_limit_is_kept_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", limit_bytes=10)

    log.write(b"x" * 50)

    assert (tmp_path / "part.log").stat().st_size == 50


def test_the_last_lines_are_those_last_written(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    log.write("".join(f"line {number} ü\n" for number in range(5000)).encode())

    assert log.last_lines(2) == ["line 4998 ü", "line 4999 ü"]


def test_a_log_goes_on_where_the_last_run_ended(tmp_path: Path) -> None:
    LogFile(tmp_path / "part.log").write(b"first\n")
    log = LogFile(tmp_path / "part.log")
    log.write(b"second\n")

    assert log.last_lines(5) == ["first", "second"]
