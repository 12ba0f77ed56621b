"""How a library sends: every call, by a program or a page. Without a library, one batch.

Calls that precede the end of the program, or of the page, are sent by the end alone.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.sdk import chromium
from tests.sdk.golden import Golden, replay
from tests.sdk.install import Sdk, SdkReport
from tests.sdk.proxy import FaultyProxy
from tests.sdk.scenarios import PROPERTIES, TRAITS

BUNDLE = Path("node_modules/@segment/analytics-next/dist/umd/index.js")
VIEWS = 25
CALLS: list[Any] = [
    ["track", {"userId": "USER", "event": "Ordered", "properties": PROPERTIES}],
    ["track", {"anonymousId": "USER-a", "event": "Anonymous"}],
    *(["track", {"userId": "USER", "event": f"Viewed {number}"}] for number in range(VIEWS)),
    ["identify", {"userId": "USER", "traits": TRAITS}],
    ["identify", {"userId": "USER-2", "traits": {"plan": "free"}}],
    ["page", {"userId": "USER", "name": "Home"}],
    ["screen", {"userId": "USER", "name": "Home"}],
    ["group", {"userId": "USER", "groupId": "g", "traits": {"name": "Group"}}],
    ["alias", {"userId": "USER", "previousId": "USER-0"}],
]
LEAVING: list[Any] = [["track", {"userId": "USER", "event": "Left"}]]
PAGE_ANONYMOUS: list[Any] = [["track", "Anonymous"]]
PAGE_CALLS: list[Any] = [
    ["identify", "USER", TRAITS],
    ["track", "Ordered", PROPERTIES],
    *(["track", f"Viewed {number}"] for number in range(VIEWS)),
    ["screen", "Home"],
    ["group", "g", {"name": "Group"}],
    ["alias", "USER-0"],
    ["identify", "USER-2", {"plan": "free"}],
]
PAGE_LEAVING = "Left"
"""The calls of a page, the same ones as `CALLS` and `LEAVING`. The automatic call of `page` precedes them."""
STRATEGIES = {"standard": {}, "batching": {"timeout": 1000}}
"""The delivery strategies of the library for browsers, with their settings."""
BATCH: list[Any] = [
    {"type": "track", "userId": "USER", "event": "Ordered", "properties": PROPERTIES, "messageId": "USER-1"},
    {"type": "identify", "userId": "USER", "traits": TRAITS, "messageId": "USER-2"},
    *({"type": "track", "userId": "USER", "event": "Left", "messageId": f"USER-{number}"} for number in range(3, 7)),
]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a library sends to."""

    proxy: FaultyProxy
    key: str
    user: str
    directory: Path
    """A directory of its own."""
    sdks: Mapping[str, Sdk]

    def filled(self, value: Any) -> Any:
        """Return *value* with the user in place of `USER`."""
        return orjson.loads(orjson.dumps(value).replace(b"USER", self.user.encode()))

    @property
    def connection(self) -> dict[str, str]:
        """The members that the input of every program has."""
        return {"host": self.proxy.address, "key": self.key, "user": self.user}


Sender = Callable[[Target], SdkReport]
DELIVERED = SdkReport([], [])


def program(sdk: str, name: str | None = None) -> Sender:
    """Return a sender that makes every call with the program *name* of *sdk*."""

    def send(target: Target) -> SdkReport:
        scenario = {"calls": target.filled(CALLS), "leaving": target.filled(LEAVING), **target.connection}
        return target.sdks[sdk].send(scenario, program=name)

    return send


def plain(sdk: str, name: str, *arguments: str) -> Sender:
    """Return a sender of one batch with the program *name*, which uses no library."""

    def send(target: Target) -> SdkReport:
        scenario = {"batch": target.filled(BATCH), **target.connection}
        return target.sdks[sdk].send(scenario, *arguments, program=name)

    return send


def curl(target: Target) -> SdkReport:
    """Send one batch with `curl -d`, which names it a form."""
    body = json.dumps({"batch": target.filled(BATCH)})
    command = ["curl", "-sS", "-f", f"{target.proxy.address}/event/batch", "-H", f"Authorization: Bearer {target.key}"]
    done = subprocess.run([*command, "-d", body], capture_output=True, text=True, timeout=30, check=False)
    return SdkReport([done.stderr] if done.returncode else [], [])


def golden(request: Golden) -> Sender:
    """Return a sender of *request*."""

    def send(target: Target) -> SdkReport:
        status = replay(request, host=target.proxy.address, key=target.key, user=target.user)
        return SdkReport([] if status == 200 else [str(status)], [])

    return send


def page(strategy: str, scheme: str) -> Sender:
    """Return a sender that makes every call in a page from *scheme*, `file` or `https`, with a delivery *strategy*."""

    def send(target: Target) -> SdkReport:
        settings = {
            "apiHost": target.proxy.address.removeprefix("https://") + "/v1",
            "deliveryStrategy": {"strategy": strategy, "config": STRATEGIES[strategy]},
        }
        with chromium.site(target.sdks["node"].directory / BUNDLE, target.directory / "site") as site:
            scenario = {
                "key": target.key,
                "settings": settings,
                "deliveredUrl": site.delivered_url,
                "anonymous": PAGE_ANONYMOUS,
                "calls": target.filled(PAGE_CALLS),
                "leaving": PAGE_LEAVING,
            }
            file = target.directory / "site" / "library.html"
            url = site.url(file.name) if scheme == "https" else file.as_uri()
            with chromium.running(url, scenario, target.directory / "profile"):
                sent = 1 + len(PAGE_ANONYMOUS) + len(PAGE_CALLS) + 1
                if chromium.delivered(lambda: len(target.proxy.answered) >= sent - 1):
                    site.release()
                    chromium.delivered(lambda: len(target.proxy.answered) >= sent)
        return DELIVERED

    return send


def browser_itself(target: Target) -> SdkReport:
    """Send with `fetch` and `navigator.sendBeacon`, the last item while the page is being left."""
    batch = target.filled(BATCH)
    with chromium.site(None, target.directory / "site") as site:
        scenario = {
            "url": f"{target.proxy.address}/event/batch",
            "key": target.key,
            "fetched": batch[:2],
            "beacons": batch[2:5],
            "leaving": batch[5:],
        }
        with chromium.running(site.url("plain.html"), scenario, target.directory / "profile"):
            chromium.delivered(lambda: len(target.proxy.answered) >= len(batch))
    return DELIVERED
