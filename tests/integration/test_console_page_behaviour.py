"""How the console's page behaves: by keyboard, with hostile values, many items, and a console that goes away."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.chromium_page import ChromiumPage, chromium_page
from tests.support.console_stack import HOSTILE, LONG, MARKUP, TURNED, ConsoleStack
from tests.support.page_checks import LOW_CONTRAST, TOO_WIDE
from tests.support.services import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

FOCUSED = "document.activeElement.closest('[data-row]')?.innerText"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleStack]:
    """A stack with items of every verdict."""
    made = ConsoleStack(tmp_path_factory.mktemp("stack"))
    made.start()
    try:
        made.fill()
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromiumPage]:
    with chromium_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(chromium: ChromiumPage, stack: ConsoleStack) -> Iterator[ChromiumPage]:
    """A page with the session of an operator; a test fails if it reports an error or a violation of its policy."""
    chromium.resize(1280, 800)
    chromium.open(f"{stack.url}#token={stack.operate_token}")
    chromium.wait_for("document.querySelectorAll('[data-row]').length >= 11")
    chromium.wait_for_text("Live", ".live-state")
    chromium.faults.clear()
    yield chromium
    assert (chromium.faults, chromium.evaluate("violations")) == ([], [])


def test_keyboard_alone_reaches_every_view(page: ChromiumPage) -> None:
    for key, view in (("2", "rates"), ("3", "rejected"), ("4", "person")):
        page.press(key)
        page.wait_for(f"location.hash.startsWith('#/{view}')")
    page.wait_for("document.activeElement.name === 'userId'")
    page.press("Escape")
    page.press("g", "p")
    page.wait_for("location.hash.startsWith('#/parts')")
    page.press("g", "l")
    page.wait_for("location.hash.startsWith('#/live')")
    page.press("?")
    page.wait_for("help.open")
    page.press("Escape")
    page.wait_for("!help.open")
    page.press("/")
    assert page.evaluate("document.activeElement.id") == "message-id"
    page.type("shop-4")
    page.press("Enter")
    page.wait_for_text("visible in events", "main")


def test_skip_link_leads_past_the_controls(page: ChromiumPage) -> None:
    page.evaluate("document.activeElement.blur()")
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.press("Enter")

    page.wait_for("document.activeElement.id === 'view'")
    assert page.evaluate("location.hash") == "#/live"


def test_rows_are_walked_by_keyboard_while_the_list_is_paused(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.press("j")
    first = page.evaluate(FOCUSED)
    page.press("j")
    second = page.evaluate(FOCUSED)
    stack.send_items([{"type": "track", "userId": "u", "event": "While Paused"}])
    page.wait_for_text("Paused, 1 new", ".live-state")

    assert first != second
    assert page.evaluate(FOCUSED) == second
    page.press("Enter")
    page.wait_for("!panel.hidden")
    page.press("k")
    assert page.evaluate(FOCUSED) == first
    page.press("Escape")
    page.wait_for("panel.hidden")
    assert page.evaluate(FOCUSED) == first
    page.press("Escape")
    page.wait_for("document.querySelector('tbody tr').innerText.includes('While Paused')")
    page.wait_for_text("Live", ".live-state")


def test_focus_is_visible_on_every_control(page: ChromiumPage) -> None:
    reached = set()
    for _ in range(14):
        page.press("Tab")
        focused = page.evaluate("document.activeElement.id || document.activeElement.outerHTML.slice(0, 60)")
        reached.add(focused)
        outline = "getComputedStyle(document.activeElement).outlineWidth"
        assert page.evaluate(f"document.activeElement === document.body || parseFloat({outline}) >= 2"), focused

    assert {"message-id", "project", "zone", "show-help", "sign-out"} <= reached


def test_pause_and_new_items_move_no_control(page: ChromiumPage, stack: ConsoleStack) -> None:
    places = "[...document.querySelectorAll('.pause, .filters > *, .live-rates, thead')].map(PLACE)".replace(
        "PLACE", "(each) => { const { x, y, width } = each.getBoundingClientRect(); return [x, y, width]; }"
    )
    before = page.evaluate(places)
    page.press("p")
    page.wait_for_text("Resume", ".pause")
    stack.send_items([{"type": "track", "userId": "u", "event": "Moves Nothing"}])
    page.wait_for_text("Paused, 1 new", ".live-state")

    assert page.evaluate(places) == before
    page.press("p")
    page.wait_for_text("Moves Nothing", "tbody")
    assert page.evaluate(places) == before


def test_hostile_values_are_text_in_every_view(page: ChromiumPage, stack: ConsoleStack) -> None:
    reply = stack.send_items([{**item, "messageId": f"hostile-{number}"} for number, item in enumerate(HOSTILE)])
    assert (reply["accepted"], reply["rejected"]) == (3, 2)
    eventually(lambda: stack.ask("api/events?userId=" + quote(MARKUP))["items"], "the person's identify has a row")
    page.wait_for_text(MARKUP, "tbody")
    page.wait_for_text("user-\\u202egnp.exe", "tbody")

    for address, text in (
        ("#/live?event=" + quote(MARKUP), MARKUP),
        ("#/live?userId=" + quote(TURNED), "user-\\u202egnp.exe"),
        ("#/rejected", "too_long"),
        ("#/person/dev/" + quote(MARKUP, safe=""), MARKUP),
        ("#/person/dev/" + quote("h/../?#&", safe=""), "No person h/../?#& in project dev."),
        ("#/person/dev/..", "No person .. in project dev."),
        ("#/trace/hostile-0", MARKUP),
        ("#/trace/" + quote(MARKUP, safe=""), "No item with this messageId was found."),
    ):
        page.open(stack.url + address)
        page.wait_for_text(text, "main", within_seconds=60)
        if page.count("[data-row]"):
            page.press("j", "Enter")
            page.wait_for("document.querySelector('pre')")
        page.resize(360, 740)
        assert page.evaluate(TOO_WIDE) == [], address
        page.resize(1280, 800)
        assert page.count("img:not([src='favicon.svg'])") == 0
    assert page.evaluate("'hacked' in window") is False


def test_ten_kilobytes_in_a_trait_are_shown_on_demand(page: ChromiumPage, stack: ConsoleStack) -> None:
    user = {"type": "identify", "userId": "long", "traits": {"bio": LONG}}
    stack.send_items([user])
    eventually(lambda: stack.ask("api/events?userId=long")["items"], "the person is there")
    page.open(f"{stack.url}#/person/dev/long")
    page.wait_for_text("all 10,002 characters", ".traits")

    assert len(page.text(".traits .value code")) <= 400
    page.click(".traits .value button")
    page.wait_for("document.querySelector('.traits .value code').innerText.length === 10002")


def test_control_policy_reports_what_the_page_must_not_do(page: ChromiumPage) -> None:
    page.evaluate("view.append(Object.assign(new Image(), { src: 'http://other.example/' }))")
    page.wait_for("violations.some((each) => each.startsWith('img-src: http://other.example'))")
    page.evaluate("{ try { view.innerHTML = '<b>x</b>'; } catch (error) { violations.push(error.name); } }")

    assert "TypeError" in page.evaluate("violations")
    assert page.count("b:not(.live-rates b)") == 0
    assert page.faults
    page.faults.clear()
    page.evaluate("violations.length = 0")


def test_list_keeps_the_newest_500_items(page: ChromiumPage, stack: ConsoleStack) -> None:
    page.press("p")
    page.wait_for_text("Resume", ".pause")
    for number in range(1, 7):  # as many at a time as the stream of a page holds
        stack.send_items([{"type": "track", "userId": "many", "event": "Many"} for _ in range(100)])
        page.wait_for(f"+document.querySelector('.live-state').innerText.replace(/\\D/g, '') >= {100 * number}")
    page.press("p")
    page.wait_for_text("The newest 500 items are shown.", ".below")

    assert page.count("tbody tr") == 500


def test_older_items_are_loaded_on_demand(page: ChromiumPage, stack: ConsoleStack) -> None:
    for _ in range(2):
        stack.send_items([{"type": "track", "userId": "old", "event": "Old"} for _ in range(100)])
    eventually(lambda: len(stack.ask("api/events?userId=old&limit=500")["items"]) == 200, "the items have rows")
    page.open(f"{stack.url}#/live?userId=old")
    page.wait_for_text("Load older items", ".below")
    assert page.count("[data-row]") == 100
    page.click(".below button")

    page.wait_for("document.querySelectorAll('[data-row]').length === 200")
    page.wait_for_text("Paused", ".live-state")


def test_page_connects_again_and_fills_what_it_missed(page: ChromiumPage, stack: ConsoleStack) -> None:
    os.kill(stack.pid("console"), signal.SIGKILL)
    page.wait_for_text("Trying again in", ".live-state")
    assert page.evaluate(LOW_CONTRAST) == []
    stack.send_items([{"type": "track", "userId": "u", "event": "While Away"}])

    page.wait_for_text("Live", ".live-state", within_seconds=60)
    page.wait_for_text("While Away", "tbody", within_seconds=30)
    assert page.evaluate("document.getElementById('connection').hidden")
    page.faults.clear()


def test_revoked_token_ends_the_session_with_its_reason(page: ChromiumPage, stack: ConsoleStack) -> None:
    token = stack.read_token()
    page.open(f"{stack.url}#token={token}")
    page.wait_for_text("Live", ".live-state")
    tokens = json.loads(stack.command("token", "list", "--json"))
    [revoked] = [each for each in tokens if token.startswith(each["hint"].rstrip("…"))]
    stack.command("token", "revoke", revoked["id"])

    page.wait_for_text("Sign in", "main h1")
    assert page.text(".callout.failed")
    assert page.count("[data-row]") == 0


def test_page_in_the_background_leaves_the_stream(page: ChromiumPage, stack: ConsoleStack) -> None:
    def streams() -> float:
        [line] = [
            line for line in stack.read("metrics").splitlines() if line.startswith("sequence_console_live_streams ")
        ]
        return float(line.split()[1])

    def turn(hidden: str) -> None:
        page.evaluate(f"Object.defineProperty(document, 'hidden', {{ get: () => {hidden}, configurable: true }})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    eventually(lambda: streams() == 1, "the page has one stream")
    turn("true")
    eventually(lambda: streams() == 0, "the page has left the stream", within_seconds=40)
    turn("false")
    page.wait_for_text("Live", ".live-state")
    eventually(lambda: streams() == 1, "the page has one stream")
