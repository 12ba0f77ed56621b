"""A running `sequence up` with items of every verdict in it, for the tests of the console's page."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.projects import admin
from schemas.projects import digest
from schemas.settings import KafkaSettings
from schemas.times import SECOND, format_time
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
    {"type": "track", "userId": "grace", "event": "Product Viewed", "properties": {"sku": "C-1", "price": "9,90"}},
)
"""Items of a shop: one with a warning, three with a fault, and one whose price is text."""
VERDICTS = {"accepted": 7, "duplicate": 2, "rejected": 3}
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
        self._tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.environ['SEQUENCE_CONSOLE_PORT']}/"

    @property
    def operate_token(self) -> str:
        """The token of an operator that the stack has made."""
        return (self.state / "operate-token").read_text().strip()

    def port(self, server: str) -> int:
        """Return the port of `KAFKA` or `CLICKHOUSE`."""
        return int(self.environ[f"SEQUENCE_LOCAL_{server}_PORT"])

    @property
    def kafka_settings(self) -> KafkaSettings:
        """Where Kafka is."""
        return KafkaSettings(bootstrap_servers=f"127.0.0.1:{self.port('KAFKA')}")

    def read_token(self, project_id: str = "dev") -> str:
        """Return a new token that reads *project_id*."""
        token = asyncio.run(admin.create_token(self.kafka_settings, project_id, scope="read"))
        self._until_known(token, f"{self.url}api/session")
        return token

    def revoke(self, token: str) -> None:
        """Revoke *token*; its ID is the beginning of its digest."""
        asyncio.run(admin.revoke_token(self.kafka_settings, digest(token)[:16]))

    def write_token(self, project_id: str) -> str:
        """Return the token that writes to *project_id*, which is made at the first call."""
        if project_id not in self._tokens:
            asyncio.run(admin.create_project(self.kafka_settings, project_id, project_id.title()))
            token = self._tokens[project_id] = asyncio.run(admin.create_token(self.kafka_settings, project_id))
            self._until_known(token, f"http://127.0.0.1:{self.gateway}/event/batch", b"{}")
        return self._tokens[project_id]

    def _until_known(self, token: str, url: str, body: bytes | None = None) -> None:
        """Wait until *url* accepts *token*: the processes follow the tokens on a topic."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        def is_known() -> bool:
            try:
                urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30).close()  # noqa: S310  # http
            except urllib.error.HTTPError as error:
                with error:
                    return error.code != 401
            return True

        eventually(is_known, f"{url} knows the token")

    def command(self, *arguments: str) -> str:
        """Return what `sequence` with *arguments* prints."""
        command = [sys.executable, "-m", "deploy.cli", *arguments]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send_items(self, items: Sequence[Fields], project_id: str = "lab") -> Any:
        """Send *items* of *project_id* in one request, and return the reply."""
        token = (self.state / "dev-token").read_text().strip() if project_id == "dev" else self.write_token(project_id)
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

    def finds(self, path: str) -> bool:
        """Return whether the console answers *path* with 200, not with 404."""
        try:
            self.read(path)
        except urllib.error.HTTPError as error:
            with error:
                return error.code not in {404, 503}
        return True

    def read(self, path: str) -> str:
        """Return the reply of the console to an operator as text."""
        headers = {"Authorization": f"Bearer {self.operate_token}"}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310  # http
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
            return str(response.read().decode())

    def fill(self) -> None:
        """Send the items of the shop to `dev`, two of them twice, and wait for their rows."""
        numbered = [{**item, "messageId": f"shop-{number}"} for number, item in enumerate(SHOP)]
        now = time.time_ns() // 1000
        for number, age in ((0, 2 * 3600), (3, 3600)):  # the identifies, for the history of their user
            numbered[number]["timestamp"] = format_time(now - age * SECOND)
        self.send_items(numbered, "dev")
        self.send_items(numbered[1:3], "dev")
        expected = dict(VERDICTS)
        eventually(lambda: self._counts() == expected, f"the console finds {expected}", within_seconds=60)

    def _counts(self) -> dict[str, int]:
        items = self.ask("api/events?limit=500&project=dev")["items"]
        verdicts = [item["verdict"] for item in items if (item["messageId"] or "").startswith("shop-")]
        return {name: verdicts.count(name) for name in set(verdicts)}


class Traffic:
    """Sends items of another project, some of them twice or without an event, until the end of the block."""

    _EVENTS = ("Product Viewed", "Product Added", "Cart Viewed", "Checkout Started", "Order Completed")
    _SECONDS = 0.5

    def __init__(self, stack: ConsoleStack) -> None:
        stack.write_token("webshop")
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
            self._stack.send_items(items, "webshop")
            if number % 7 == 0:
                self._stack.send_items(items[:1], "webshop")

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
