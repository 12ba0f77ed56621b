"""docs/tools.md has each tool of `make tools` with the version of its lock file."""

from __future__ import annotations

from tests.support.documents import page
from tests.tools.runs import dbt, tools


def test_documented_matrix_has_every_tool_with_its_version() -> None:
    documented = [tuple(row[:2]) for row in page("docs/tools.md").rows("Matrix")]

    assert documented == [(tool.name, tool.version) for tool in [*tools(), dbt()]]
