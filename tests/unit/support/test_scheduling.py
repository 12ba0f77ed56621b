"""Division of the tests among pytest workers."""

from __future__ import annotations

import pytest

from tests.support.scheduling import scope_of


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/unit/test_a.py::test_one", "tests/unit/test_a.py"),
        ("tests/unit/test_a.py::test_one[a::b]", "tests/unit/test_a.py"),
        ("tests/sdk/test_calls.py::test_one", "tests/sdk"),
        ("tests/sdk/test_retries.py::test_one", "tests/sdk"),
        ("tests/integration/console_page/test_page.py::test_one[a/b]", "tests/integration/console_page"),
        ("tests/integration/test_a.py::test_one", "tests/integration/test_a.py"),
    ],
)
def test_tests_that_share_fixtures_stay_together(nodeid: str, scope: str) -> None:
    assert scope_of(nodeid) == scope
