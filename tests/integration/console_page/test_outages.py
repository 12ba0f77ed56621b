"""What the page shows while Kafka and ClickHouse do not answer, and that it recovers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from deploy.console.settings import ConsoleSettings
from deploy.local.passwords import ANALYST_FILE
from deploy.operate.servers import Servers
from schemas.settings import ClickHouseSettings, KafkaSettings
from tests.integration.console.served import ThreadedConsole
from tests.support.chromium_page import ChromiumPage
from tests.support.console_stack import ConsoleStack
from tests.support.page_checks import LOW_CONTRAST
from tests.support.proxy_servers import StreamServer
from tests.support.services import free_port

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

NOTHING_IS_SEARCHED = """{
    const message = "Nothing was searched before the time was over.";
    const page = { items: [], next: null, isComplete: false, message };
    const asked = window.asked = window.fetch;
    window.fetch = (url, ...others) => String(url).includes("api/events") ? Response.json(page) : asked(url, ...others);
}"""


class Forwarder(StreamServer):
    """Forwards the connections to *port*, from `listens_at` on."""

    def __init__(self, listens_at: int, port: int) -> None:
        super().__init__()
        self._listens_at = listens_at
        self._to = port

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._listens_at)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture(autouse=True)
def left(chromium: ChromiumPage) -> Iterator[None]:
    """Leave the console of the test after its page was checked."""
    yield
    chromium.open("about:blank#")


def servers(stack: ConsoleStack, ports: Mapping[str, int]) -> Servers:
    """Return the servers of *stack* at other *ports*."""
    password = (stack.state / ANALYST_FILE).read_text().strip()
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{ports['KAFKA']}")
    clickhouse = ClickHouseSettings(f"http://127.0.0.1:{ports['CLICKHOUSE']}", "analyst", password)
    return Servers(kafka, clickhouse, is_local=False)


def test_live_view_recovers_when_the_servers_answer(page: ChromiumPage, stack: ConsoleStack) -> None:
    ports = {"KAFKA": free_port(), "CLICKHOUSE": free_port()}
    with ThreadedConsole(servers(stack, ports)) as served:
        page.open(f"{served.url}#token={served.operate_token}")
        page.wait_for_text("ClickHouse does not answer", "main .failed")
        page.wait_for_text("Kafka does not answer", ".live-state.broken")
        assert "Kafka does not answer. New items are shown once it does." in page.text("main")
        assert "No items yet" not in page.text("main")
        assert page.evaluate(LOW_CONTRAST) == []

        with Forwarder(ports["CLICKHOUSE"], stack.port("CLICKHOUSE")):
            page.wait_for("document.querySelectorAll('[data-row]').length >= 11")
            page.wait_for("!document.querySelector('main .state.failed')")
            with Forwarder(ports["KAFKA"], stack.port("KAFKA")):
                page.wait_for_text("Live", ".live-state.open")
                assert page.count("main .callout") == 0
                stack.send_items([{"type": "track", "userId": "u", "event": "After The Outage"}])
                page.wait_for_text("After The Outage", "tbody")


def test_search_that_had_no_time_is_repeated(page: ChromiumPage, stack: ConsoleStack) -> None:
    with ThreadedConsole(servers(stack, {name: stack.port(name) for name in ("KAFKA", "CLICKHOUSE")})) as served:
        page.open(f"{served.url}#token={served.operate_token}")
        page.wait_for("document.querySelectorAll('[data-row]').length >= 11")
        page.evaluate(NOTHING_IS_SEARCHED)
        page.evaluate("location.hash = '#/live?verdict=accepted'")
        page.wait_for_text("Nothing was searched", "main .callout")
        assert "No item matches" not in page.text("main")

        page.evaluate("void (window.fetch = window.asked)")
        page.wait_for("document.querySelectorAll('[data-row]').length >= 5")
        assert "Nothing was searched" not in page.text("main")


def test_trace_is_repeated_until_the_tables_answer(page: ChromiumPage, stack: ConsoleStack) -> None:
    ports = {"KAFKA": stack.port("KAFKA"), "CLICKHOUSE": free_port()}
    with ThreadedConsole(servers(stack, ports)) as served:
        page.open(f"{served.url}#token={served.operate_token}")
        page.wait_for_text("Sign out")
        page.open(f"{served.url}#/trace/shop-4")
        page.wait_for_text("The tables were not searched.", "main")

        with Forwarder(ports["CLICKHOUSE"], stack.port("CLICKHOUSE")):
            page.wait_for_text("visible in events", "main")


def test_views_without_servers_show_what_is_known(page: ChromiumPage) -> None:
    with ThreadedConsole() as served:
        page.open(f"{served.url}#token={served.operate_token}")
        page.wait_for_text("Sign out")
        page.open(f"{served.url}#/rates")
        page.wait_for_text("ClickHouse does not answer", ".callout.failed")
        page.wait_for("document.querySelectorAll('.plot canvas').length === 3")
        assert "0 accepted" not in page.text(".numbers")
        page.open(f"{served.url}#/audit")
        page.wait_for_text("The first audit has not completed yet.", "main")
        page.wait_for_text("Kafka at 127.0.0.1:1", ".callout.warning")
        page.open(f"{served.url}#/catalog")
        page.wait_for_text("ClickHouse does not answer", "main .failed")


def test_audit_that_is_switched_off_is_said(page: ChromiumPage) -> None:
    with ThreadedConsole(settings=ConsoleSettings(audit=False)) as served:
        page.open(f"{served.url}#token={served.operate_token}")
        page.wait_for_text("Sign out")
        page.open(f"{served.url}#/audit")
        page.wait_for_text("The audit is switched off.", "main")
