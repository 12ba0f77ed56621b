"""What the libraries are asked to send, each order for a user of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.sdk.front import Fault

FAULTS: tuple[Fault, ...] = ("429", "503", "dropped before", "dropped after", "slow")
RESENT = 3
"""Items of an order whose first request fails."""


@dataclass(frozen=True, slots=True)
class Order:
    """Calls, and what happens to the first requests that they become."""

    calls: Sequence[Any] | None
    """None: those with values that only the language has."""
    faults: tuple[Fault, ...] = ()
    gzip: bool = False
    key: str | None = None
    """None: the token of the pipeline."""

    def spoken(self, *, host: str, key: str, user: str) -> dict[str, Any]:
        """Return it as the sending program reads it."""
        calls = None if self.calls is None else [[method, named(fields, user)] for method, fields in self.calls]
        told = {"host": host, "key": self.key or key, "user": user, "calls": calls}
        return {**told, "gzip": self.gzip, "timeoutSeconds": 1.0 if self.faults else 15.0}


def named(value: Any, user: str) -> Any:
    """Return *value* with the order's user in place of every `USER`."""
    if isinstance(value, dict):
        return {name: named(inner, user) for name, inner in value.items()}
    return value.replace("USER", user) if isinstance(value, str) else value


PROPERTIES = {"price": 42.5, "count": 3, "nested": {"list": [1, "two", None], "deep": {"er": True}}, "text": "Grüße 😀"}
TRAITS = {"plan": "pro", "seats": 12, "address": {"city": "Köln"}}
CALLS: list[Any] = [
    ["track", {"userId": "USER", "event": "Ordered", "properties": PROPERTIES, "messageId": "USER-track"}],
    ["track", {"userId": "USER", "event": "Bare", "messageId": "USER-bare"}],
    ["track", {"userId": "USER", "anonymousId": "USER-a", "event": "Both", "messageId": "USER-both"}],
    ["identify", {"userId": "USER", "traits": TRAITS, "messageId": "USER-identify"}],
    ["page", {"userId": "USER", "name": "Home", "messageId": "USER-page"}],
    ["screen", {"userId": "USER", "name": "Home", "messageId": "USER-screen"}],
    ["group", {"userId": "USER", "groupId": "g", "traits": {}, "messageId": "USER-group"}],
    ["alias", {"userId": "USER", "previousId": "p", "messageId": "USER-alias"}],
    ["track", {"anonymousId": "USER-a", "event": "Anonymous", "messageId": "USER-anonymous"}],
    ["identify", {"anonymousId": "USER-a", "traits": {"plan": "x"}, "messageId": "USER-anonymous-identify"}],
]
REFUSED = {
    "page": "unsupported_type",
    "screen": "unsupported_type",
    "group": "unsupported_type",
    "alias": "unsupported_type",
    "anonymous": "user_id_required",
    "anonymous-identify": "user_id_required",
}
"""What becomes of the rest of `CALLS`, by the end of the messageId."""

# Node's library counts characters that are no ASCII letters, so this is small to it. Python's counts bytes.
LARGE = "x" * 33_000
ORDERS = {
    "calls": Order(CALLS),
    "values": Order(None),
    "large": Order(
        [
            ["track", {"userId": "USER", "event": "Large", "properties": {"v": LARGE}, "messageId": "USER-large"}],
            ["track", {"userId": "USER", "event": "Small", "messageId": "USER-small"}],
        ]
    ),
    "wrong-token": Order([["track", {"userId": "USER", "event": "No"}]], key="seq_dev_0000000000000000"),
    **{
        fault.replace(" ", "-"): Order(
            [["track", {"userId": "USER", "event": f"Resent {number}"}] for number in range(RESENT)], faults=(fault,)
        )
        for fault in FAULTS
    },
}
SENT: list[tuple[str, str]] = [(sdk, order) for sdk in ("python", "node") for order in ORDERS]
ZIPPED = Order(CALLS, gzip=True)
"""For Python alone: the library for Node compresses nothing."""
