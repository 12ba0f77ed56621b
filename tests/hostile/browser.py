"""A web page in real Chromium that sends requests to a port of this machine in every way that a page can.

The page is on another host than the port, and sends no Referer. Its requests pass a recording proxy, so that a test
knows when they have been answered, and which headers they had.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from tests.support.loop_thread import LoopThread
from tests.support.proxy_servers import StreamServer
from tests.support.services import eventually, free_port

HOST = "page.example"
"""Host of the page. Chromium resolves it to 127.0.0.1."""
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--disable-dev-shm-usage"),
    f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
)
VECTORS = {
    "img": "<img src={url}>",
    "script": "<script src={url}></script>",
    "css": "<link rel=stylesheet href={url}>",
    "iframe": "<iframe src={url}></iframe>",
    "sandboxed iframe": "<iframe sandbox='allow-scripts' src={url}></iframe>",
    "fetch": "<script>fetch({js}, {{mode: 'no-cors', credentials: 'include'}})</script>",
    "navigation": "<script>location.href = {js}</script>",
    "meta refresh": "<meta http-equiv=refresh content='0;url={plain}'>",
    "form": "<form action={base}>{inputs}</form><script>document.forms[0].submit()</script>",
    "fetch POST": "<script>fetch({js}, {{method: 'POST', mode: 'no-cors', body: {js_body}}})</script>",
    "form POST": (
        "<form method=post enctype=text/plain action={url}><input name={body} value=x></form>"
        "<script>document.forms[0].submit()</script>"
    ),
    "beacon": "<script>navigator.sendBeacon({js}, {js_body})</script>",
    "websocket": "<script>new WebSocket({js}.replace('http', 'ws'))</script>",
    "redirect": "",
    "typed": "",
}
"""Ways to send a request, as the HTML that does. `redirect` and `typed` are addresses that somebody opens."""
WITHOUT_LOGIN = {"img", "script", "css", "iframe", "sandboxed iframe", "fetch", "fetch POST", "beacon", "websocket"}
"""Vectors for which Chromium refuses a URL with a login."""

_HEAD = re.compile(rb"(?:GET|POST|HEAD|OPTIONS) [^ ]+ HTTP/1\.1\r\n.*?\r\n\r\n", re.DOTALL)
_TOLD_BY_BROWSERS = re.compile(rb"^(origin|referer|sec-fetch-[a-z]+): (.*?)\r?$", re.IGNORECASE | re.MULTILINE)


@dataclass(slots=True)
class Exchange:
    """What a connection carried."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def head_with(self, text: str) -> bytes | None:
        """Return the head of the request whose first line has *text*."""
        heads = _HEAD.findall(bytes(self.sent))
        return next((head for head in heads if text.encode() in head.partition(b"\r\n")[0]), None)


class RecordingProxy(StreamServer):
    """Forwards connections to *port* and keeps what they carry."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._upstream = port
        self.exchanges: list[Exchange] = []

    def find(self, text: str) -> tuple[bytes, bytes] | None:
        """Return the head of the request with *text*, and what its connection received, once that is its answer."""
        for exchange in self.exchanges:
            head = exchange.head_with(text)
            if head is not None and (exchange.received or exchange.ended):
                return head, bytes(exchange.received)
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange()
        self.exchanges.append(exchange)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            await asyncio.gather(_relay(reader, up_writer, exchange.sent), _relay(up_reader, writer, exchange.received))
        finally:
            exchange.ended = True
            up_writer.close()
            writer.close()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            kept += data
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def send(vector: str, url: str, directory: Path, *, body: str = "-- x") -> contextlib.AbstractContextManager[None]:
    """Run Chromium for the block with a page that sends a request to *url* by *vector*."""
    return _page_in_chromium(vector, url, directory, body)


@contextmanager
def _page_in_chromium(vector: str, url: str, directory: Path, body: str) -> Iterator[None]:
    port = free_port()
    thread = LoopThread()
    thread.start()
    runner = web.AppRunner(_pages(vector, url, body))
    try:
        thread.run(runner.setup())
        thread.run(web.TCPSite(runner, "127.0.0.1", port).start())
        opened = url if vector == "typed" else f"http://{HOST}:{port}/{'redirect' if vector == 'redirect' else ''}"
        with subprocess.Popen(
            [_chromium(), *_FLAGS, f"--user-data-dir={directory}", "--remote-debugging-port=0", opened],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as chromium:
            try:
                yield
            finally:
                chromium.terminate()
    finally:
        thread.run(runner.cleanup())
        thread.stop()


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "this test needs Chromium: apt-get install chromium"
    return found


def _pages(vector: str, url: str, body: str) -> web.Application:
    async def page(_: web.Request) -> web.Response:
        text = f"<!doctype html><meta name=referrer content=no-referrer>{page_html(vector, url, body)}"
        return web.Response(text=text, content_type="text/html")

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": url, "Referrer-Policy": "no-referrer"})

    app = web.Application()
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/", page)
    return app


def page_html(vector: str, url: str, body: str) -> str:
    """Return the HTML that sends a request to *url* by *vector*."""
    inputs = "".join(
        f"<input name={_quoted(name)} value={_quoted(value)}>" for name, value in parse_qsl(urlsplit(url).query)
    )
    return VECTORS[vector].format(
        url=_quoted(url),
        plain=html.escape(url, quote=True),
        base=_quoted(url.partition("?")[0]),
        js=json.dumps(url),
        inputs=inputs,
        body=_quoted(body),
        js_body=json.dumps(body),
    )


def browser_headers(head: bytes) -> Mapping[str, str]:
    """Return the headers of a request that only browsers send, an Origin without its port."""
    found = {name.decode().title(): value.decode() for name, value in _TOLD_BY_BROWSERS.findall(head)}
    return {name: re.sub(r":\d+$", "", value) for name, value in found.items()}


def wait_for(proxy: RecordingProxy, text: str) -> tuple[bytes, bytes]:
    """Return the head of the request with *text* and what its connection received; wait until it is answered."""
    eventually(lambda: proxy.find(text) is not None, f"a request with {text} was answered", within_seconds=30)
    found = proxy.find(text)
    assert found is not None
    return found


def _quoted(text: str) -> str:
    return f'"{html.escape(text, quote=True)}"'
