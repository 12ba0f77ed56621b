"""A running `sequence up` with items of every verdict in it, for the tests of the console's page."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.local_stack import Stack
from tests.support.services import eventually, free_port

Fields = Mapping[str, Any]

SHOP: Sequence[Fields] = (
    {"type": "identify", "userId": "ada", "traits": {"email": "ada@example.com", "plan": "free", "phone": "030 1234"}},
    {"type": "track", "userId": "ada", "event": "Product Viewed", "properties": {"sku": "A-17", "price": 12.5}},
    {"type": "track", "userId": "grace", "event": "Product Viewed", "properties": {"sku": "B-4", "price": 7}},
    {"type": "identify", "userId": "ada", "traits": {"plan": "pro", "phone": None, "account": 9007199254740993}},
    {"type": "track", "userId": "ada", "event": "Order Completed", "properties": {"total": 25.00, "currency": "EUR"}},
    {"type": "track", "userId": 4711, "event": "Signed Up", "properties": {"source": "newsletter"}},
    {"type": "track", "userId": "grace", "event": "", "properties": {"total": 3}},
    {"type": "track", "userId": "grace", "properties": {"total": 4}},
    {"type": "track", "event": "Cart Updated", "properties": {"items": 2}},
)
"""Items of a shop, the last four with a warning or a fault."""
VERDICTS = {"accepted": 6, "duplicate": 2, "rejected": 3}
"""What the console shows once `ConsoleStack.fill` has sent them."""

MARKUP = "<img src=x onerror=hacked=1>"
TURNED = "user-\u202egnp.exe"
"""Has a mark that turns the direction of what follows."""
EMOJI = "👩‍👩‍👧‍👦 مرحبا"
LONG = "long " * 2_000
HOSTILE: Sequence[Fields] = (
    {"type": "track", "userId": TURNED, "event": MARKUP, "properties": {MARKUP: MARKUP, "long": LONG}},
    {"type": "track", "userId": "h/../?#&", "event": EMOJI, "properties": {"__proto__": {"a": 1}}},
    {"type": "identify", "userId": MARKUP, "traits": {MARKUP: MARKUP, "bio": LONG, "\u202eturned": EMOJI}},
    {"type": "track", "userId": "hostile", "event": LONG},
    {"type": MARKUP, "userId": "hostile", "event": "e"},
)
"""Items whose values are markup, marks without a width, or long; the last two are rejected."""


class ConsoleStack(Stack):
    """A stack with a console."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.environ.setdefault("SEQUENCE_CONSOLE_PORT", str(free_port()))
        self.environ.pop("SEQUENCE_TEST_SCREENSHOTS", None)  # every process would warn of it

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.environ['SEQUENCE_CONSOLE_PORT']}/"

    @property
    def operate_token(self) -> str:
        """The token of an operator that the stack has made."""
        return (self.state / "operate-token").read_text().strip()

    def read_token(self, project_id: str = "dev") -> str:
        """Return a new token that reads *project_id*."""
        return self.command("token", "create", project_id, "--scope", "read").strip()

    def command(self, *arguments: str) -> str:
        """Return what `sequence` with *arguments* prints."""
        command = [sys.executable, "-m", "deploy.cli", *arguments]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send_items(self, items: Sequence[Fields], token: str = "") -> Any:
        """Send *items* in one request with *token*, by default the one of development, and return the reply."""
        token = token or (self.state / "dev-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"batch": items}).encode()
        url = f"http://127.0.0.1:{self.gateway}/event/batch"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as response:
            return json.load(response)

    def ask(self, path: str) -> Any:
        """Return the reply of the console's API to an operator, at the latest after a minute in which it is busy."""
        replies: list[str] = []

        def has_replied() -> bool:
            try:
                replies.append(self.read(path))
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 503:  # It starts, or is busy: the same request can be sent again.
                        raise
            return bool(replies)

        eventually(has_replied, f"the console answers {path}", within_seconds=60)
        return json.loads(replies[0])

    def read(self, path: str) -> str:
        """Return the reply of the console to an operator as text."""
        headers = {"Authorization": f"Bearer {self.operate_token}"}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310  # http
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
            return str(response.read().decode())

    def fill(self) -> str:
        """Send the items of the shop, two of them twice, and wait for their rows. Returns the messageId of an order."""
        numbered = [{**item, "messageId": f"shop-{number}"} for number, item in enumerate(SHOP)]
        self.send_items(numbered)
        self.send_items(numbered[1:3])
        expected = dict(VERDICTS)
        eventually(lambda: self._counts() == expected, f"the console finds {expected}", within_seconds=60)
        return "shop-4"

    def _counts(self) -> dict[str, int]:
        items = self.ask("api/events?limit=500&project=dev")["items"]
        verdicts = [item["verdict"] for item in items if (item["messageId"] or "").startswith("shop-")]
        return {name: verdicts.count(name) for name in set(verdicts)}


class Traffic:
    """Sends items of another project, some of them twice or without an event, until the end of the block."""

    _EVENTS = ("Product Viewed", "Product Added", "Cart Viewed", "Checkout Started", "Order Completed")
    _SECONDS = 0.5

    def __init__(self, stack: ConsoleStack) -> None:
        stack.command("project", "create", "webshop")
        self._token = stack.command("token", "create", "webshop").strip()
        self._stack = stack
        self._chance = random.Random(7)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _send(self) -> None:
        number = 0
        while not self._end.wait(self._SECONDS):
            number += 1
            items = [self._item() for _ in range(self._chance.randint(1, 4 + number % 40 // 8))]
            items[0] = {**items[0], "event": "Product Viewed"}  # a request of which every item is rejected gets 400
            self._stack.send_items(items, self._token)
            if number % 7 == 0:
                self._stack.send_items(items[:1], self._token)

    def _item(self) -> Fields:
        chance = self._chance
        item: dict[str, Any] = {
            "type": "track",
            "messageId": f"{chance.getrandbits(32):08x}-{chance.getrandbits(16):04x}",
            "userId": f"user-{chance.randint(100, 999)}",
            "event": chance.choice(self._EVENTS),
            "properties": {"price": chance.randint(5, 90), "currency": "EUR"},
        }
        return item if chance.random() < 0.96 else {**item, "event": ""}
