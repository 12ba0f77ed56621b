"""The console's page in Chromium: each view with the data of a running stack, as its users open it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.console_page.views import SCREENSHOTS, VIEWS, opened, picture
from tests.support.chromium_page import ChromiumPage
from tests.support.console_stack import VERDICTS, ConsoleStack, Traffic
from tests.support.page_checks import LOW_CONTRAST, TOO_WIDE, UNNAMED
from tests.support.services import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def traffic(stack: ConsoleStack) -> Iterator[None]:
    """Items of another project, as long as the tests of this file run."""
    with Traffic(stack):
        yield


@pytest.fixture(scope="module", autouse=True)
def session(stack: ConsoleStack, chromium: ChromiumPage) -> None:
    """Sign in as an operator, with the address and the token that `sequence up` prints."""
    chromium.open(f"{stack.url}#token={stack.operate_token}")
    chromium.wait_for_text("Sign out")


def test_token_in_the_fragment_signs_in_and_leaves_the_address(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.open(f"{stack.url}#token={stack.operate_token}")
    page.wait_for_text("Sign out")

    assert page.evaluate("location.href") == f"{stack.url}#/live"
    assert stack.operate_token not in page.evaluate("document.documentElement.outerHTML + document.cookie")


@pytest.mark.parametrize("view", VIEWS)
def test_view_is_readable_in_both_schemes_and_at_360_pixels(page: ChromiumPage, stack: ConsoleStack, view: str) -> None:
    opened(page, stack, view)
    assert page.evaluate(UNNAMED) == []
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        assert page.evaluate(LOW_CONTRAST) == [], scheme
    page.resize(360, 740)
    if view == "rejected":
        page.press("j", "Enter")
        page.wait_for_text("sequence rejected replay")

    assert page.evaluate(TOO_WIDE) == []


def test_control_contrast_check_finds_grey_on_grey(page: ChromiumPage, stack: ConsoleStack) -> None:
    opened(page, stack, "live")
    page.evaluate("document.querySelector('nav a').style.color = '#999'")

    assert page.evaluate(LOW_CONTRAST) == ["2.85 Live"]


def test_live_view_shows_items_of_every_verdict(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    opened(page, stack, "live")
    page.wait_for_text("Live", ".live-state")
    assert {name: page.count(f"[data-row={name}]") for name in VERDICTS} == VERDICTS
    assert "number_as_id: userId" in page.text("main")

    page.open(f"{stack.url}#/live")
    page.wait_for("document.querySelectorAll('[data-row]').length > 30")
    page.wait_for("parseFloat(document.querySelector('.live-rates .accepted b').innerText) > 0")
    picture(page, tmp_path, "live")


def test_new_item_appears_on_top_without_a_reload(page: ChromiumPage, stack: ConsoleStack) -> None:
    opened(page, stack, "live")
    page.wait_for_text("Live", ".live-state")
    stack.send_items([{"type": "track", "userId": "linus", "event": "Just Arrived"}], "dev")

    page.wait_for("document.querySelector('tbody tr').innerText.includes('Just Arrived')", within_seconds=10)


def test_filters_are_in_the_address_and_survive_a_reload(page: ChromiumPage, stack: ConsoleStack) -> None:
    opened(page, stack, "live")
    page.click('input[name="search"]')
    page.type("eur")
    page.wait_for("location.hash.includes('search=eur')")
    page.wait_for("document.querySelectorAll('[data-row]').length === 1")
    page.open(page.evaluate("location.href"))

    page.wait_for("document.querySelectorAll('[data-row]').length === 1")
    assert page.evaluate("document.querySelector('input[name=search]').value") == "eur"
    assert "Order Completed" in page.text("[data-row]")


@pytest.mark.parametrize(
    ("query", "rows"),
    [("project=dev&verdict=duplicate", 2), ("event=Signed+Up", 1), ("userId=4711", 1), ("userId=nobody", 0)],
)
def test_filter_selects_items(page: ChromiumPage, stack: ConsoleStack, query: str, rows: int) -> None:
    page.open(f"{stack.url}#/live?{query}")
    if rows:
        page.wait_for(f"document.querySelectorAll('[data-row]').length === {rows}")
    else:
        page.wait_for("document.querySelector('[data-state]')")


def test_click_opens_the_json_and_the_trace_of_an_item(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    page.prefer("dark")
    page.open(f"{stack.url}#/live?project=dev&event=Order+Completed")
    page.wait_for("document.querySelector('[data-row]')")
    page.click("[data-row] .event")
    page.wait_for_text("visible in events", "#panel")
    page.wait_for_text("Paused", ".live-state")

    shown = page.text("#panel")
    assert '"currency": "EUR"' in shown
    assert "items.v1, partition" in shown
    page.click('#panel [aria-label="Copy the JSON"]')
    page.wait_for("document.querySelector('#panel .copied')")
    picture(page, tmp_path, "item-dark")
    page.press("Escape")
    page.wait_for("panel.hidden && document.activeElement.matches('[data-row]')")


def test_rejected_view_has_a_replay_command_that_runs(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    opened(page, stack, "rejected")
    page.press("j", "Enter")
    page.wait_for_text("sequence rejected replay")
    words = shlex.split(page.text(".command code"))
    assert "group=" in page.evaluate("location.hash")

    words[words.index(".")] = '.event = "Order Completed"'
    assert "2 of 2 items read: 2 would be sent" in stack.command(*words[1:])
    picture(page, tmp_path, "rejected")
    page.press("Escape")
    page.wait_for("!document.querySelector('.details')")


def test_person_view_shows_who_set_each_trait(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    opened(page, stack, "person")
    traits = page.text(".traits")

    assert '"pro"' in traits
    assert "9007199254740993" in traits
    assert "shop-3" in traits
    assert "phone" in page.text("main")
    assert page.count("[data-row]") >= 3
    page.wait_for("document.querySelectorAll('.history tbody tr').length === 5")
    assert "free" in page.text(".history")
    picture(page, tmp_path, "person")
    page.click(".traits a")
    page.wait_for_text("visible in identifies", "main")


def test_unknown_person_is_said_with_what_to_do(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.open(f"{stack.url}#/person/dev/{quote('no/body', safe='')}")

    page.wait_for_text("No person no/body in project dev.", "main")


def test_trace_view_tells_what_became_of_a_duplicate(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    page.open(stack.url + VIEWS["live"])
    page.wait_for_text("Sign out")
    page.press("/")
    page.type("shop-1")
    page.press("Enter")
    page.wait_for("location.hash === '#/trace/shop-1?project=dev'")
    page.wait_for_text("duplicate of offset", "main")

    assert page.text("main [role=status]") == "2 occurrences"
    picture(page, tmp_path, "trace")


def test_trace_of_an_unknown_id_names_what_was_searched(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.open(f"{stack.url}#/trace/{quote('never sent')}")

    page.wait_for_text("No item with this messageId was found.", "main", within_seconds=60)
    assert "Tables: events, identifies, duplicates, rejected" in page.text("main")


def test_parts_view_shows_every_process_of_the_stack(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    opened(page, stack, "parts")
    shown = page.text("main")

    for part in ("Kafka", "ClickHouse", "Gateway", "dedupe", "persons", "sink", "clickhouse", "sink-1"):
        assert part in shown
    states = page.evaluate("[...document.querySelectorAll('.part-state')].map((each) => each.innerText)")
    # Of the groups, the servers, the gateway, and the processes that are asked.
    assert {state: states.count(state) for state in set(states)} == {"Stable": 3, "up": 2, "ready": 4, "runs": 4}
    picture(page, tmp_path, "parts")


def test_catalogue_leads_to_types_and_a_query(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    opened(page, stack, "catalog")
    page.wait_for("document.querySelector('.conflict')?.innerText === 'price'")
    picture(page, tmp_path, "catalog")
    page.press("j", "Enter")
    page.wait_for("location.hash.startsWith('#/catalog/dev/event/Product')")
    page.wait_for_text("sequence_dev.product_viewed", "main")
    assert "float" in page.text(".catalog-paths")
    assert "conflict" in page.text(".catalog-paths")

    rows = stack.command("sql", page.text(".command code")).splitlines()
    assert len(rows) == 3
    picture(page, tmp_path, "event")


def test_only_conflicts_are_listed_on_demand(page: ChromiumPage, stack: ConsoleStack) -> None:
    opened(page, stack, "catalog")
    page.click(".check input")
    page.wait_for("location.hash.includes('conflicts=true')")
    page.wait_for("document.querySelectorAll('[data-row]').length === 1")
    page.click(".check input")
    page.wait_for("document.querySelectorAll('[data-row]').length > 1")


def test_audit_view_says_that_the_numbers_add_up(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    opened(page, stack, "audit")
    page.wait_for_text("The numbers add up.", ".callout.good")
    terms = page.evaluate("[...document.querySelectorAll('.equation b')].map((each) => each.innerText)")
    received, *parts = [int(term.replace(",", "")) for term in terms]

    assert received == sum(parts) > 0
    assert "sequence.items.v1" in page.text("table")
    picture(page, tmp_path, "audit")


def test_page_of_360_pixels_is_pictured(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    page.resize(360, 640)
    opened(page, stack, "live")
    page.wait_for_text("Live", ".live-state")
    picture(page, tmp_path, "narrow")


def test_current_view_is_in_sight_among_the_views_at_360_pixels(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.resize(360, 640)
    page.open(f"{stack.url}#/audit")
    page.wait_for("document.querySelector('nav [aria-current]')?.innerText === 'Audit'")

    assert page.evaluate("document.querySelector('nav [aria-current]').getBoundingClientRect().right") <= 360


def test_rates_view_draws_verdicts_and_lag(page: ChromiumPage, stack: ConsoleStack, tmp_path: Path) -> None:
    steps = 12 if SCREENSHOTS else 2
    eventually(
        lambda: sum(rate > 0 for rate in stack.ask("api/rates?since=10m")["accepted"]) >= steps,
        f"there are items in {steps} steps",
        within_seconds=200,
    )
    opened(page, stack, "rates")
    page.wait_for("document.querySelectorAll('.plot canvas').length === 3")
    page.wait_for("/Newest: dedupe [\\d.]+ s/.test(document.querySelectorAll('.plot')[2].ariaLabel)", within_seconds=60)

    assert page.evaluate("document.querySelector('.numbers').innerText").count("at most") == 3
    picture(page, tmp_path, "rates")


def test_reader_sees_one_project_and_no_parts(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.open(stack.url)
    page.wait_for_text("Sign out")
    page.click("#sign-out")
    page.wait_for_text("You have signed out.", "main")
    page.click("#token")
    page.type("no token")
    page.press("Enter")
    page.wait_for("document.querySelector('.callout.failed:not([hidden])')")
    page.evaluate("token.value = ''")
    page.type(stack.read_token())
    page.press("Enter")
    page.wait_for_text("Order Completed", "main")

    assert page.evaluate("[...document.querySelectorAll('nav a')].map((each) => each.innerText)") == [
        "Live",
        "Rates",
        "Rejected",
        "Person",
        "Catalogue",
    ]
    assert page.text("#scope") == "dev"
    page.open(f"{stack.url}#/parts")
    page.wait_for_text("The parts are shown to operators.", "main")
    page.open(f"{stack.url}#/audit")
    page.wait_for_text("The audit is shown to operators.", "main")
