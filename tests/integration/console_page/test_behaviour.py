"""How the console's page behaves: by keyboard, with hostile values, many items, and a console that goes away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.chromium_page import ChromiumPage
from tests.support.console_stack import HOSTILE, LONG, MARKUP, TURNED, ConsoleStack
from tests.support.page_checks import LOW_CONTRAST, TOO_WIDE
from tests.support.services import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

LEAVES_AT_ONCE = """{
    const later = setTimeout;
    window.setTimeout = (work, milliseconds) => later(work, milliseconds === 15000 ? 0 : milliseconds);
}"""
"""The page in the background leaves its stream after 15 s."""
FOCUSED = "document.activeElement.closest('[data-row]')?.innerText"


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
    page.press("g", "c")
    page.wait_for("location.hash.startsWith('#/catalog')")
    page.press("g", "p")
    page.wait_for("location.hash.startsWith('#/parts')")
    page.press("7")
    page.wait_for("location.hash.startsWith('#/audit')")
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
        ("#/person/lab/" + quote(MARKUP, safe=""), MARKUP),
        ("#/person/lab/" + quote("h/../?#&", safe=""), "No person h/../?#& in project lab."),
        ("#/person/lab/..", "No person .. in project lab."),
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
    page.open(f"{stack.url}#/person/lab/long")
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


def test_older_items_are_loaded_on_demand_and_500_are_kept(page: ChromiumPage, stack: ConsoleStack) -> None:
    for _ in range(6):
        stack.send_items([{"type": "track", "userId": "old", "event": "Old"} for _ in range(100)])
    eventually(lambda: len(stack.ask("api/events?userId=old&limit=500")["items"]) == 500, "the items have rows")
    page.open(f"{stack.url}#/live?userId=old")
    for shown in range(100, 500, 100):
        page.wait_for(f"document.querySelectorAll('[data-row]').length === {shown}")
        page.wait_for_text("Load older items", ".below")
        page.click(".below button")
    page.wait_for_text("Paused", ".live-state")
    page.wait_for_text("The newest 500 items are shown.", ".below")
    stack.send_items([{"type": "track", "userId": "old", "event": "Newest"}])
    page.wait_for_text("Paused, 1 new", ".live-state")
    page.press("p")

    page.wait_for("document.querySelector('tbody tr').innerText.includes('Newest')")
    assert page.count("[data-row]") == 500


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
    stack.revoke(token)

    page.wait_for_text("Sign in", "main h1")
    assert page.text(".callout.failed")
    assert page.count("[data-row]") == 0


def test_suspended_process_is_shown_as_such(page: ChromiumPage, stack: ConsoleStack) -> None:
    os.kill(stack.pid("persons-1"), signal.SIGSTOP)
    try:
        page.open(f"{stack.url}#/parts")
        page.wait_for_text("suspended", ".part-state.bad", within_seconds=60)
    finally:
        os.kill(stack.pid("persons-1"), signal.SIGCONT)


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
    page.evaluate(LEAVES_AT_ONCE)
    turn("true")
    eventually(lambda: streams() == 0, "the page has left the stream")
    turn("false")
    page.wait_for_text("Live", ".live-state")
    eventually(lambda: streams() == 1, "the page has one stream")
