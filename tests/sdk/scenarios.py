"""The scenarios: the calls that the libraries make, each scenario for its own user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.sdk.proxy import Fault

FAULTS: tuple[Fault, ...] = ("429", "503", "dropped before", "dropped after", "slow")
RETRIED_ITEMS = 3
"""Number of items in a scenario whose first request fails."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Calls to a library, and the faults of the first requests."""

    calls: Sequence[Any] | None
    """None: the calls with values of the language, which the sending program defines."""
    faults: tuple[Fault, ...] = ()
    gzip: bool = False
    key: str | None = None
    """None: the token of the pipeline."""

    def program_input(self, *, host: str, key: str, user: str) -> dict[str, Any]:
        """Return the input of the sending program."""
        calls = None if self.calls is None else [[method, with_user(fields, user)] for method, fields in self.calls]
        common = {"host": host, "key": self.key or key, "user": user, "calls": calls}
        return {**common, "gzip": self.gzip, "timeoutSeconds": 1.0 if self.faults else 15.0}


def with_user(value: Any, user: str) -> Any:
    """Return *value* with *user* in place of every `USER`."""
    if isinstance(value, dict):
        return {name: with_user(inner, user) for name, inner in value.items()}
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
REJECTED_CODES = {
    "page": "unsupported_type",
    "screen": "unsupported_type",
    "group": "unsupported_type",
    "alias": "unsupported_type",
    "anonymous": "user_id_required",
    "anonymous-identify": "user_id_required",
}
"""Error codes of the other `CALLS`, by the suffix of the messageId."""

# Node's library counts characters that are no ASCII letters, so this is small to it. Python's counts bytes.
LARGE = "x" * 33_000
SCENARIOS = {
    "calls": Scenario(CALLS),
    "values": Scenario(None),
    "large": Scenario(
        [
            ["track", {"userId": "USER", "event": "Large", "properties": {"v": LARGE}, "messageId": "USER-large"}],
            ["track", {"userId": "USER", "event": "Small", "messageId": "USER-small"}],
        ]
    ),
    "wrong-token": Scenario([["track", {"userId": "USER", "event": "No"}]], key="seq_dev_0000000000000000"),
    **{
        fault.replace(" ", "-"): Scenario(
            [["track", {"userId": "USER", "event": f"Retried {number}"}] for number in range(RETRIED_ITEMS)],
            faults=(fault,),
        )
        for fault in FAULTS
    },
}
RUNS: list[tuple[str, str]] = [(sdk, name) for sdk in ("python", "node") for name in SCENARIOS]
COMPRESSED = Scenario(CALLS, gzip=True)
"""For Python only: the library for Node does not compress."""
