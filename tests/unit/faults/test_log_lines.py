"""The phrases that the fault suite counts are phrases that the product logs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from deploy.local.backoff import describe_exit
from tests.faults.log_lines import KILLED, SOURCES

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("phrase", "file"), SOURCES.items())
def test_counted_phrase_is_logged_by_the_product(phrase: str, file: str) -> None:
    assert phrase in (ROOT / file).read_text(encoding="utf-8")


def test_supervisor_names_the_signal_that_killed_a_service() -> None:
    assert KILLED.strip() in describe_exit(-signal.SIGKILL)
