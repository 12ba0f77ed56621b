"""Topics and local state are readable both ways: this version writes the same bytes as the previous release.

`python -m tests.faults.previous_release >tests/unit/previous_release.json` writes what the previous release writes. If
a test fails, the two cannot run side by side as they are: let readers of one release understand both forms before the
next release writes the new one.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from processors.dedupe import decision
from schemas import records
from tests.support.release_formats import formats

PREVIOUS: dict[str, str] = json.loads(Path(__file__).with_name("previous_release.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PREVIOUS)
def test_same_bytes_are_written_as_by_the_previous_release(name: str) -> None:
    assert formats()[name] == PREVIOUS[name]


def test_every_format_is_compared() -> None:
    assert formats().keys() == PREVIOUS.keys()


@pytest.mark.parametrize(("module", "name"), [(decision, "DIGEST"), (records, "ORIGIN_PARTITION")])
def test_header_of_another_name_would_be_noticed(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
    monkeypatch.setattr(module, name, "other")

    assert formats() != PREVIOUS
