"""One running stack and one Chromium for all tests of this folder, which one pytest worker runs.

The tests of `test_page.py` count the items of the project `dev`; the others send to `lab`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium_page import ChromiumPage, chromium_page
from tests.support.console_stack import ConsoleStack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleStack]:
    """A running stack with items of every verdict in the project `dev`."""
    made = ConsoleStack(tmp_path_factory.mktemp("stack"))
    made.start()
    try:
        made.fill()
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromiumPage]:
    """A page without a session."""
    with chromium_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(chromium: ChromiumPage) -> Iterator[ChromiumPage]:
    """The page, wide and light; a test fails if it reports an error or a violation of its policy."""
    chromium.resize(1280, 800)
    chromium.prefer("light")
    chromium.faults.clear()
    yield chromium
    assert (chromium.faults, chromium.evaluate("violations")) == ([], [])
