"""Modules of the console's page in Chromium, served without a console: what they compute from values."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from deploy.console.audits import RememberedAudit
from deploy.console.static_files import StaticFiles
from deploy.operate.audit_balance import Balance
from tests.support.chromium_page import ChromiumPage
from tests.support.proxy_servers import HttpServer


class PageFiles(HttpServer):
    """The files of the page."""

    METHOD = "GET"

    async def _serve(self, request: web.Request) -> web.Response:
        return await StaticFiles().handle(request)


@pytest.fixture(scope="module")
def page(chromium: ChromiumPage) -> Iterator[ChromiumPage]:
    """The page, which has no session."""
    with PageFiles() as served:
        chromium.open(f"http://127.0.0.1:{served.port}/")
        yield chromium


QUEUE = """import(new URL("live_queue.js", document.baseURI)).then(({ LiveQueue }) => {
    const item = (offset) => ({ projectId: "p", receivedAt: `t${offset}`, verdict: "accepted", partition: 0, offset });
    const items = (steps) => steps.map((step) => step.items?.map(({ offset }) => offset) ?? step);
    const queue = new LiveQueue(3);
    ACTIONS
})"""


@pytest.mark.parametrize(
    ("actions", "shown"),
    [
        (
            "queue.load({ items: [item(2), item(1)], next: null }); queue.add(item(2)); queue.add(item(3));",
            [[1], [3, 2]],
        ),
        ("for (const n of [1, 2, 3, 4]) queue.add(item(n));", [{"skipped": 1, "isEstimate": False}, [4, 3, 2]]),
        ("queue.skip({ count: 9, isEstimate: true }); queue.add(item(1));", [{"skipped": 9, "isEstimate": True}, [1]]),
        ("queue.add(item(1)); queue.take(); queue.load({ items: [item(2), item(1)], next: 'c' });", [[2]]),
        (
            "queue.add(item(1)); queue.take(); queue.load({ items: [item(9), item(8)], next: 'c' });",
            [{"after": "t1", "before": "t8"}, [9, 8]],
        ),
    ],
)
def test_queue_shows_each_item_once_and_names_what_is_left_out(page: ChromiumPage, actions: str, shown: Any) -> None:
    assert page.evaluate(QUEUE.replace("ACTIONS", f"{actions} return items(queue.take());")) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("{}", ("open", "Live")),
        ("{ isPaused: true, paused: { bySelection: true }, size: 1200 }", ("paused", "Paused, 1,200 new")),
        ("{ unread: 'Kafka is away. Wait.', isPaused: true, paused: {} }", ("broken", "Kafka is away")),
        ("{ stream: 'connecting' }", ("connecting", "Connecting…")),
        ("{ stream: 'failed', unread: 'Kafka is away.' }", ("broken", "Not connected")),
        (
            "{ stream: 'waiting', detail: {}, retryAt: 0, isPaused: true }",
            ("broken", "Connection lost. Trying again in 0 s"),
        ),
    ],
)
def test_state_of_the_stream_names_the_fault_first(page: ChromiumPage, given: str, shown: tuple[str, str]) -> None:
    found = page.evaluate(
        'import(new URL("live_state.js", document.baseURI)).then(({ describe }) => '
        f"describe({{ stream: 'open', unread: null, isPaused: false, size: 0, ...{given} }}))"
    )

    assert (found["kind"], found["text"]) == shown


def test_delay_of_a_retry_doubles_up_to_half_a_minute(page: ChromiumPage) -> None:
    delays = page.evaluate(
        """import(new URL("retry.js", document.baseURI)).then(({ Retry }) => {
            const later = window.setTimeout, delays = [];
            window.setTimeout = (work, milliseconds) => delays.push(milliseconds / 1000);
            const retry = new Retry(() => {});
            for (let number = 0; number < 6; number++) retry.later();
            retry.reset();
            retry.later();
            window.setTimeout = later;
            return delays;
        })"""
    )

    assert delays == [2, 4, 8, 16, 30, 30, 2]


class Differing:
    """An audit that finds a missing row."""

    def check(self, now: float) -> Balance:
        topics = {f"sequence.{name}.v1": count for name, count in (("items", 9), ("events", 7), ("duplicates", 2))}
        none = dict.fromkeys(topics, 0)
        missing, lines = none | {"sequence.events.v1": 1}, ["events, partition 2: 1 missing: source offsets 3141"]
        return Balance(now - 60, 9, missing, none, none, lines, unique=7, duplicates=2, compared=topics)

    def stop(self) -> None:
        """Do nothing."""


def test_audit_that_does_not_add_up_says_what_differs_and_what_to_run(page: ChromiumPage) -> None:
    now = time.time()
    audit = RememberedAudit(Differing(), now)
    audit.check(now)
    shown = page.evaluate(
        f"""import(new URL("views/audit.js", document.baseURI)).then(async ({{ mount }}) => {{
            const asked = window.fetch, root = document.createElement("div");
            window.fetch = async () => new Response({json.dumps(msgspec.json.encode(audit.shown(now)).decode())});
            const leaving = new AbortController();
            mount(root, {{ signal: leaving.signal, isOperator: true }});
            while (!root.querySelector(".callout")) await new Promise((resolve) => setTimeout(resolve));
            leaving.abort();
            window.fetch = asked;
            return root.textContent;
        }})"""
    )

    for text in ("The numbers do not add up.", "source offsets 3141", "sequence audit --refill", "7 unique"):
        assert text in shown


EVENTS = 'event: item\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: comment\n\nevent: rates\ndata: 2\n\nevent: none\n\ndata:3\n\n'


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_stream_is_split_into_events_wherever_it_is_cut(page: ChromiumPage, size: int) -> None:
    parts = [EVENTS[start : start + size] for start in range(0, len(EVENTS), size)]
    found: Any = page.evaluate(
        f"""import(new URL("live_stream.js", document.baseURI)).then(({{ EventParser }}) => {{
            const found = [];
            const parser = new EventParser((name, data) => found.push([name, data]));
            for (const part of {json.dumps(parts)}) parser.add(part);
            return found;
        }})"""
    )

    assert found == [["item", '{"a":\n1}'], ["rates", "2"], ["message", "3"]]


@pytest.mark.parametrize(
    "text",
    ["9007199254740993", "1.0", "1e400", '{"a":[0.10,-0,1E5]}', '{"__proto__":{"b":1}}', '"\\u202e\\ud83d\\ude00"'],
)
def test_json_is_shown_with_the_digits_that_were_sent(page: ChromiumPage, text: str) -> None:
    shown = page.evaluate(
        'import(new URL("text.js", document.baseURI))'
        f".then(({{ compact, parseExact }}) => compact(parseExact({json.dumps(text)})))"
    )

    assert shown == (text if "\\ud83d" not in text else '"\\u202e😀"')


@pytest.mark.parametrize(
    ("text", "quoted"), [("order-1", "order-1"), ("it's $1", "'it'\\''s $1'"), ("-x", "-- -x"), ("", "''")]
)
def test_argument_of_a_command_is_quoted_for_a_shell(page: ChromiumPage, text: str, quoted: str) -> None:
    script = (
        f'import(new URL("text.js", document.baseURI)).then(({{ shellQuoted }}) => shellQuoted({json.dumps(text)}))'
    )

    assert page.evaluate(script) == quoted


def test_every_file_of_the_page_is_served(page: ChromiumPage) -> None:
    for path in StaticFiles().paths:
        assert page.evaluate(f"fetch({json.dumps(path)}).then((response) => response.status)") == 200, path
