"""The libraries of the matrix, and what must arrive of the items that each one sends.

Every library makes the same calls, through a proxy that fails its first requests.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.sdk import chromium
from tests.sdk.golden import Golden, golden_requests
from tests.sdk.install import (
    GO_LOCK,
    JAVA_LOCK,
    NODE_LOCK,
    PYTHON_LOCK,
    MissingToolError,
    Sdk,
    go_sdk,
    java_sdk,
    node_sdk,
    python_sdk,
)
from tests.sdk.proxy import Fault
from tests.sdk.scenarios import TRAITS
from tests.sdk.senders import BATCH, VIEWS, Sender, browser_itself, curl, golden, page, plain, program


@dataclass(frozen=True, slots=True)
class Expected:
    """What must arrive of the items that a library sends."""

    rows: int
    """Rows of `events` and `identifies` together."""
    persons: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Number of rejected items, by code."""
    traits: Mapping[str, Any] = field(default_factory=dict)
    """Traits of the person whose id is the user of the run."""

    @property
    def sent(self) -> int:
        """Number of items."""
        return self.rows + sum(self.rejected.values())


EVERY_CALL = Expected(1 + VIEWS + 2 + 1, 2, {"unsupported_type": 4, "user_id_required": 1}, TRAITS)
WHOLE_BATCH = Expected(len(BATCH), 1, traits=TRAITS)
FAULTS: tuple[Fault, ...] = ("503", "429", "dropped after")
ANONYMOUS_REQUESTS = (None, None)
"""A page sends each item by itself, and one that it repeats after `identify` has the user's id. So the requests before
`identify` do not fail."""


@dataclass(frozen=True, slots=True)
class Library:
    """One row of the matrix."""

    name: str
    version: str
    needs: str
    """The SDK or the tool that must be on the machine."""
    send: Sender
    expected: Expected = EVERY_CALL
    faults: tuple[Fault | None, ...] = FAULTS
    tls: bool = False

    @property
    def key(self) -> str:
        """Its name in the ids of tests and users."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def libraries(*, thorough: bool = False) -> list[Library]:
    """Return every row of the matrix. If *thorough*, Java's library meets every fault, which takes minutes."""
    return [*_segment(java_faults=FAULTS if thorough else FAULTS[:1]), *_rudderstack(), *_without_library(), *_golden()]


def _segment(*, java_faults: tuple[Fault, ...]) -> Iterator[Library]:
    node = _node_versions()
    yield Library("Segment, Python", _python_version("segment-analytics-python"), "python", program("python"))
    yield Library("Segment, Node", node["@segment/analytics-node"], "node", program("node"))
    java = JAVA_LOCK.read_text().splitlines()[0].rpartition(":")[2]
    # The library waits 15 s before its first retry, and 30 s before its second.
    yield Library("Segment, Java", java, "java", program("java"), faults=java_faults)
    (go,) = re.findall(r"analytics-go\.v3 v(\S+)", GO_LOCK.with_name("go.mod").read_text())
    yield Library("Segment, Go", go, "go", program("go"))
    version = node["@segment/analytics-next"]
    for strategy, faults in {"standard": (*ANONYMOUS_REQUESTS, *FAULTS), "batching": FAULTS}.items():
        for scheme in ("https", "file"):
            name = f"Segment, browser: {strategy}, {scheme}"
            yield Library(name, version, "chromium", page(strategy, scheme), faults=faults, tls=True)


def _rudderstack() -> Iterator[Library]:
    version = _python_version("rudder-sdk-python")
    # The library sends the traits of a person in `context.traits` only.
    expected = replace(EVERY_CALL, traits={})
    yield Library("RudderStack, Python", version, "python", program("python", "send_rudder.py"), expected)
    version = _node_versions()["@rudderstack/rudder-sdk-node"]
    yield Library("RudderStack, Node", version, "node", program("node", "send_rudder.mjs"))


def _without_library() -> Iterator[Library]:
    requests = _python_version("requests")
    senders: list[tuple[str, str, str, Sender]] = [
        ("requests", requests, "python", plain("python", "send_plain.py", "requests")),
        ("http.client", "", "python", plain("python", "send_plain.py", "http.client")),
        ("fetch, Node", "", "node", plain("node", "send_plain.mjs")),
        ("curl -d", "", "curl", curl),
    ]
    for name, version, needs, send in senders:
        yield Library(name, version, needs, send, WHOLE_BATCH, ())
    yield Library("fetch and sendBeacon", "", "chromium", browser_itself, WHOLE_BATCH, (), tls=True)


def _golden() -> Iterator[Library]:
    for request in golden_requests():
        yield Library(request.library, request.version, "", golden(request), _expected_of(request), ())


def _expected_of(request: Golden) -> Expected:
    """Return what the types and users of the items imply."""
    batch = json.loads(request.body)["batch"]
    kept = [item for item in batch if item["type"] in {"track", "identify"}]
    rows = [item for item in kept if item.get("userId")]
    rejected = {"unsupported_type": len(batch) - len(kept), "user_id_required": len(kept) - len(rows)}
    (traits,) = [item["traits"] for item in rows if item["type"] == "identify"]
    return Expected(len(rows), 1, {code: count for code, count in rejected.items() if count}, traits or {})


def _python_version(package: str) -> str:
    (version,) = re.findall(rf"^{package}==(\S+)", PYTHON_LOCK.read_text(), re.MULTILINE)
    return str(version)


def _node_versions() -> Mapping[str, str]:
    versions: dict[str, str] = json.loads(NODE_LOCK.with_name("package.json").read_text())["dependencies"]
    return versions


@dataclass(frozen=True, slots=True)
class Machine:
    """What is installed, and what is missing."""

    sdks: Mapping[str, Sdk]
    missing: Mapping[str, str]
    """For each SDK or tool that this machine lacks, what to do."""


def installed() -> Machine:
    """Install the SDKs that this machine can run."""
    sdks, missing = {}, {}
    for name, install in {"python": python_sdk, "node": node_sdk, "java": java_sdk, "go": go_sdk}.items():
        try:
            sdks[name] = install()
        except MissingToolError as error:
            missing[name] = str(error)
    if shutil.which("curl") is None:
        missing["curl"] = "curl is not on this machine"
    if chromium.executable() is None:
        missing["chromium"] = "Chromium is not on this machine: apt-get install chromium"
    return Machine(sdks, missing)
