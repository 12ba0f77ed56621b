"""The consumer in Go passes the vectors that the one in Python passes; with its rule broken it fails them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.consumer_vectors import PATH, RUNS
from tests.support.documents import ROOT, page

FOLDER = ROOT / "tests" / "consumers" / "go"
SOURCE = FOLDER / "source_offsets.go"
MUTANTS = {
    "!seen || origin > highest": ("!seen || origin >= highest", "repeat_of_the_last"),
    "isNew && offset < next": ("false", "recreated_topic_while_reading"),
    "s.partitions[partition] = known\n\treturn start": ("return start", "restart_inside_a_dip"),
    "source = int32(number)": ("_ = number", "identifies_by_source_partition"),
}

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")


def failed(folder: Path) -> set[str]:
    """Return the vectors that the consumer in *folder* fails."""
    environ = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0", "CONSUMER_VECTORS": str(PATH)}
    done = subprocess.run(
        ["go", "test", "-count=1", "-v", "."],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    results = re.findall(r"--- (PASS|FAIL): TestVectors/(\w+)/\w+", done.stdout)
    assert {name for _, name in results} == RUNS.keys(), done.stdout + done.stderr
    return {name for result, name in results if result == "FAIL"}


def test_go_consumer_passes_every_vector() -> None:
    assert failed(FOLDER) == set()


@pytest.mark.parametrize("correct", MUTANTS)
def test_broken_go_consumer_fails_the_vector(tmp_path: Path, correct: str) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "go"))
    text = SOURCE.read_text(encoding="utf-8")
    broken, vector = MUTANTS[correct]
    assert text.count(correct) == 1
    (folder / SOURCE.name).write_text(text.replace(correct, broken), encoding="utf-8")

    assert vector in failed(folder)


def test_go_consumer_of_the_page_is_the_file() -> None:
    [shown] = page("docs/consumers.md").blocks("go")

    assert shown in SOURCE.read_text(encoding="utf-8")
