"""Benchmark results: table, file and comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.errors import BenchError
from tests.benchmarks.results import Row, Run, Sample, comparison, read, table, write


def row(name: str, *values: float, group: str = "sink", unit: str = "rows/s") -> Row:
    samples = [Sample(value, {"worker": value / 100}, {"worker": value / 10}) for value in values]
    return Row(group, name, unit, samples)


def cells(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_row_shows_median_span_and_ratio_to_the_first_of_its_group() -> None:
    shown = table(Run({"cores": "2"}, [row("theirs", 100, 300, 200), row("ours", 900, 100, 400)]))

    assert cells(shown, "theirs")[1:4] == ["200 rows/s", "100 … 300", "1.00"]
    assert cells(shown, "ours")[1:4] == ["400 rows/s", "100 … 900", "2.00"]


def test_cpu_time_is_a_median_and_memory_a_maximum() -> None:
    shown = table(Run({}, [row("ours", 100, 300, 200)]))

    assert cells(shown, "ours")[4:6] == ["worker 2.00", "worker 30.0"]


def test_row_with_another_unit_has_no_ratio() -> None:
    shown = table(Run({}, [row("rate", 100), row("time", 3, unit="s")]))

    assert cells(shown, "time")[3] == ""


def test_written_run_is_read_back(tmp_path: Path) -> None:
    done = Run({"cores": "2"}, [row("ours", 1, 2, 3)])
    write(done, tmp_path)

    assert read(tmp_path / "bench.json") == done
    assert (tmp_path / "bench.md").read_text() == table(done)


def test_older_run_is_matched_by_group_and_name() -> None:
    older = Run({}, [row("ours", 200), row("ours", 5, group="dedupe"), row("gone", 1)])
    shown = comparison(Run({}, [row("ours", 300), row("new", 1)]), older)

    assert cells(shown, "sink: ours")[1:] == ["200", "300", "1.50"]
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b'{"machine":{}}'])
def test_file_without_a_run_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.json").write_bytes(content)

    with pytest.raises(BenchError, match=r"other\.json"):
        read(tmp_path / "other.json")
