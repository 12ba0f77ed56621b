"""The tools are there before the first test: their download counts for none."""

from __future__ import annotations

import pytest

from tests.chart.install import helm


@pytest.fixture(scope="session", autouse=True)
def tools() -> str:
    """The path of Helm."""
    return helm()
