"""The views of the page, what each shows once it is loaded, and pictures of them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.chromium_page import ChromiumPage
from tests.support.console_stack import ConsoleStack
from tests.support.services import eventually

SCREENSHOTS = os.environ.get("SEQUENCE_TEST_SCREENSHOTS")
"""The directory that gets the pictures of the docs; otherwise they are made and dropped."""
VIEWS = {
    "live": "#/live?project=dev",
    "rates": "#/rates?since=10m",
    "rejected": "#/rejected?project=dev",
    "person": "#/person/dev/ada",
    "parts": "#/parts",
    "trace": "#/trace/shop-4",
    "catalog": "#/catalog?project=dev",
    "event": "#/catalog/dev/event/Product%20Viewed",
    "audit": "#/audit",
}
SHOWN = {
    "live": "Order Completed",
    "rates": "Lag of each stage",
    "rejected": "event_required",
    "person": "ada@example.com",
    "parts": "Stages",
    "trace": "visible in",
    "catalog": "Product Viewed",
    "event": "sequence_dev.product_viewed",
    "audit": "received",
}
"""A text that a view shows once it is loaded."""

SEARCH_ENDED = "before the time was over"


def opened(page: ChromiumPage, stack: ConsoleStack, view: str) -> None:
    """Open *view* and wait until it is loaded."""
    if view in {"catalog", "event"}:
        until_counted(stack)
    elif view == "audit":
        until_audited(stack)

    def is_shown() -> bool:
        page.open(stack.url + VIEWS[view])
        # On a busy machine, the time of a search can be over before it has found something.
        page.wait_for(f"/{SHOWN[view]}|{SEARCH_ENDED}/.test(document.querySelector('main')?.innerText)")
        return SHOWN[view] in page.text("main")

    eventually(is_shown, f"{view} is loaded")


def until_counted(stack: ConsoleStack) -> None:
    """Wait until the sink has counted the items of `dev` and made their views."""

    def is_counted() -> bool:
        events = {each["event"] for each in stack.ask("api/catalog?project=dev")["events"]}
        return {"Product Viewed", "Order Completed"} <= events and stack.finds("api/views/Product%20Viewed?project=dev")

    eventually(is_counted, "the catalogue has the events", within_seconds=120)


def until_audited(stack: ConsoleStack) -> None:
    """Wait until an audit has compared items: those that are older than 30 s."""
    eventually(lambda: bool(stack.ask("api/audit")["items"]), "an audit has compared items", within_seconds=120)


def picture(page: ChromiumPage, directory: Path, name: str) -> None:
    """Write a picture of the docs, into *directory* unless others are asked for."""
    page.screenshot((Path(SCREENSHOTS) if SCREENSHOTS else directory) / f"console-{name}.png")
