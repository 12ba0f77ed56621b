"""Parameters of tests that run outside `make test`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet  # pytest exports the type under no public name


def in_make_faults(*values: str) -> list[ParameterSet]:
    """Return *values* as test parameters that `make faults` runs."""
    return [pytest.param(value, marks=pytest.mark.faults) for value in values]
