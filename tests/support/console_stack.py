"""A running `sequence up` with items of every verdict in it, for the tests of the console's page."""

from __future__ import annotations

import json
import subprocess
import sys
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

    def send_items(self, items: Sequence[Fields]) -> Any:
        """Send *items* in one request with the development token, and return the reply."""
        token = (self.state / "dev-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"batch": items}).encode()
        url = f"http://127.0.0.1:{self.gateway}/event/batch"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as response:
            return json.load(response)

    def ask(self, path: str) -> Any:
        """Return the reply of the console's API to an operator."""
        return json.loads(self.read(path))

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
        expected = {"accepted": 6, "duplicate": 2, "rejected": 3}
        eventually(lambda: self._counts() == expected, f"the console finds {expected}", within_seconds=60)
        return "shop-4"

    def _counts(self) -> dict[str, int]:
        items = self.ask("api/events?limit=500")["items"]
        verdicts = [item["verdict"] for item in items if (item["messageId"] or "").startswith("shop-")]
        return {name: verdicts.count(name) for name in set(verdicts)}
