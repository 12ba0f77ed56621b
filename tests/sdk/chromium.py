"""Pages in real Chromium that send through a proxy with TLS: from `file:` and from a site with HTTPS.

The browser accepts any certificate. The pages are in `browser/`, beside the unmodified library as it comes from npm.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import trustme
from aiohttp import web

from tests.support.proxy_servers import HttpServer

PAGES = Path(__file__).with_name("browser")
HOST = "page.example"
"""Host of the site. Chromium resolves it to 127.0.0.1."""
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--disable-dev-shm-usage"),
    *("--ignore-certificate-errors", f"--host-resolver-rules=MAP {HOST} 127.0.0.1"),
)
_DELIVERY_SECONDS = 30.0


def executable() -> str | None:
    """Return the path of Chromium, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def server_context() -> ssl.SSLContext:
    """Return a context with a certificate for the site and for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST, "127.0.0.1").configure_cert(context)
    return context


class Site(HttpServer):
    """Serves a directory with HTTPS. `/delivered` is answered once `release` has been called."""

    METHOD = "GET"

    def __init__(self, directory: Path) -> None:
        super().__init__(context=server_context())
        self._directory = directory
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the page continue."""
        self._thread.loop.call_soon_threadsafe(self._released.set)

    @property
    def delivered_url(self) -> str:
        """The address of the image that is answered after `release`."""
        return f"https://{HOST}:{self.port}/delivered"

    def url(self, page: str) -> str:
        """Return the address of *page*."""
        return f"https://{HOST}:{self.port}/{page}"

    async def _serve(self, request: web.Request) -> web.Response:
        if request.path == "/delivered":
            await self._released.wait()
            return web.Response(status=204)
        file = self._directory / request.path.removeprefix("/")
        if not file.is_file():
            return web.Response(status=404)
        return web.Response(body=file.read_bytes(), content_type=_TYPES[file.suffix])


_TYPES = {".html": "text/html", ".js": "text/javascript"}


@contextmanager
def site(bundle: Path | None, directory: Path) -> Iterator[Site]:
    """Serve the pages from *directory*, with the *bundle* of the library."""
    shutil.copytree(PAGES, directory)
    if bundle is not None:
        shutil.copy(bundle, directory / "index.js")
    with Site(directory) as served:
        yield served


@contextmanager
def running(url: str, scenario: Mapping[str, Any], profile: Path) -> Iterator[None]:
    """Run Chromium for the block with the page at *url*, which reads *scenario* from its fragment."""
    found = executable()
    assert found is not None
    address = f"{url}#{quote(json.dumps(scenario))}"
    with subprocess.Popen(
        [found, *_FLAGS, f"--user-data-dir={profile}", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()


def delivered(condition: Callable[[], bool]) -> bool:
    """Wait until *condition* holds, and return whether it did in time."""
    deadline = monotonic() + _DELIVERY_SECONDS
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(0.05)
    return True
