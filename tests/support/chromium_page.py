"""A page in headless Chromium, driven by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.loop_thread import LoopThread
from tests.support.services import eventually

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US"),
)
_KEYS: Mapping[str, int] = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38, "Home": 36, "End": 35}
_COMMAND_SECONDS = 30.0
_WAIT_SECONDS = 30.0
_VIOLATIONS = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) =>
      violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class PageError(AssertionError):
    """A script threw, or an element or effect is missing."""


class ChromiumPage:
    """One page. Its methods may be called from any thread, one at a time."""

    def __init__(self, thread: LoopThread, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._thread = thread
        self._socket = socket
        self._number = 0
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.faults: list[str] = []
        """Exceptions and errors that the page reported."""
        self._reading: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Receive events, and watch for exceptions and violations of the content security policy."""
        self._reading = self._run(_started(self._read()))
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")
        self.command("Page.addScriptToEvaluateOnNewDocument", source=_VIOLATIONS)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command of the protocol and return its result."""
        return dict(self._run(self._send(method, parameters)))

    def open(self, url: str) -> None:
        """Load *url* in a new document and wait until it is parsed."""
        # An address that differs in its fragment only would load no document.
        self.command("Page.navigate", url="about:blank")
        self.command("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """Return the value of *script*, which may be a promise."""
        result = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise PageError(f"{script}: {_exception(result['exceptionDetails'])}")
        return result["result"].get("value")

    def wait_for(self, condition: str, within_seconds: float = _WAIT_SECONDS) -> None:
        """Wait until the script *condition* has a value that JavaScript takes as true."""
        eventually(
            lambda: bool(self.evaluate(f"!!({condition})")),
            condition,
            within_seconds=within_seconds,
            output=lambda: f"{self.evaluate('document.body.innerText')}\n{self.faults}",
        )

    def wait_for_text(self, text: str, selector: str = "body", within_seconds: float = _WAIT_SECONDS) -> None:
        """Wait until an element of *selector* shows *text*."""
        elements, shown = f"document.querySelectorAll({json.dumps(selector)})", f"includes({json.dumps(text)})"
        self.wait_for(f"[...{elements}].some((each) => each.innerText.{shown})", within_seconds)

    def text(self, selector: str) -> str:
        """Return the text that the first element of *selector* shows."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def count(self, selector: str) -> int:
        """Return how many elements *selector* has."""
        return int(self.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def press(self, *keys: str) -> None:
        """Press and release keys: characters, or names such as `Enter`."""
        for key in keys:
            text = "\r" if key == "Enter" else key if len(key) == 1 else ""
            code = _KEYS.get(key, 0)
            event = {"key": key, "windowsVirtualKeyCode": code}
            self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
            self.command("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        """Insert *text* where the focus is."""
        self.command("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of the first element of *selector*."""
        script = f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{ block: "nearest" }});
            const {{ x, y, width, height }} = found.getBoundingClientRect();
            return [x + width / 2, y + height / 2];
        }})()"""
        x, y = self.evaluate(script)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Give the page a size."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale}
        self.command("Emulation.setDeviceMetricsOverride", mobile=False, **size)

    def prefer(self, scheme: str) -> None:
        """Prefer a colour scheme, `light` or `dark`."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """Write what is visible as PNG."""
        shot = self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._thread.loop).result(_COMMAND_SECONDS)

    async def _send(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        message = await reply
        if "error" in message:
            raise PageError(f"{method}: {message['error']}")
        return dict(message["result"])

    async def _read(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame.data)
            if (reply := self._replies.pop(message.get("id", 0), None)) is not None:
                reply.set_result(message)
            elif message.get("method") == "Runtime.exceptionThrown":
                self.faults.append(_exception(message["params"]["exceptionDetails"]))
            elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["source"] == "security":
                self.faults.append(message["params"]["entry"]["text"])


async def _started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)


def _exception(details: Mapping[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])


@contextmanager
def chromium_page(profile: Path) -> Iterator[ChromiumPage]:
    """Run Chromium for the block and yield its page."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "this test needs Chromium: apt-get install chromium"
    command = [found, *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    thread = LoopThread()
    thread.start()
    try:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as chromium:
            try:
                yield from _page(thread, profile)
            finally:
                chromium.terminate()
    finally:
        thread.stop()


def _page(thread: LoopThread, profile: Path) -> Iterator[ChromiumPage]:
    file = profile / "DevToolsActivePort"
    eventually(lambda: file.exists() and "\n" in file.read_text(), "Chromium listens", within_seconds=30)
    port = file.read_text().partition("\n")[0]
    connections: list[Any] = []
    thread.run(_connect(f"http://127.0.0.1:{port}", connections))
    session, socket = connections
    page = ChromiumPage(thread, socket)
    try:
        page.begin()
        page.resize(1280, 800)
        yield page
    finally:
        thread.run(_close(session, socket))


async def _connect(address: str, connections: list[Any]) -> None:
    session = aiohttp.ClientSession()
    async with session.get(f"{address}/json/list") as response:
        (target,) = [each for each in await response.json() if each["type"] == "page"]
    connections += [session, await session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)]


async def _close(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close()
    await session.close()
