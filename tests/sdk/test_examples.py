"""Example programs of the libraries and of our documentation, with host and key replaced: each event is one row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.sdk.install import Sdk
from tests.support.documents import README, page

pytestmark = pytest.mark.timeout(900)
# What the example of the library for Node assumes: "some express-like web framework" and a caller.
EXPRESS = "const routes = {}; const app = { post: (path, handler) => { routes[path] = handler } };"
CALLS = """
for (const path of ['/login', '/cart']) routes[path]({ body: { userId: 'node-example' } }, { sendStatus() {} });
analytics.closeAndFlush({ timeout: 30000 });
"""


def rows(stack: Stack, table: str, user: str) -> list[dict[str, Any]]:
    """Return the rows of *user* in *table*."""
    return stack.query(f"SELECT * FROM {table} WHERE user_id = '{user}'")  # noqa: S608  # our own names


def replaced(source: str, old: str, new: str) -> str:
    """Return *source* with *new* in place of the only *old*."""
    assert source.count(old) == 1
    return source.replace(old, new)


def python_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run the library's simulator once for each accepted type of item."""
    line = "analytics.write_key = options.writeKey\n"
    program = directory / "simulator.py"
    source = (sdk.directory / "simulator.py").read_text()
    program.write_text(replaced(source, line, f"{line}analytics.host = {host!r}\n"))
    track = ("--type", "track", "--event", "Ordered", "--properties", '{"price": 42.5}')
    for arguments in (track, ("--type", "identify", "--traits", '{"plan": "pro"}')):
        sdk.run(program, "--writeKey", key, "--userId", "python-example", *arguments)


def node_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run the example in the README of the library."""
    readme = (sdk.directory / "node_modules" / "@segment" / "analytics-node" / "README.md").read_text()
    (source,) = re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)
    # The README shows two alternative imports.
    source = replaced(source, "import { Analytics } from '@segment/analytics-node'\n", "")
    source = replaced(source, "writeKey: '<MY_WRITE_KEY>'", f"host: '{host}', writeKey: '{key}'")
    program = directory / "example.cjs"
    program.write_text(EXPRESS + source + CALLS)
    sdk.run(program)


def our_python_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run the Python example of our documentation."""
    program = directory / "ours.py"
    program.write_text(addressed(README.block("python", "segment.analytics"), host, key))
    sdk.run(program)


def our_node_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run the Node example of our documentation, which only creates the client, and send one event."""
    (directory / "node_modules").symlink_to(sdk.directory / "node_modules")
    program = directory / "ours.mjs"
    sends = "analytics.track({ userId: 'readme-node', event: 'Started' }); await analytics.closeAndFlush()"
    program.write_text(addressed(page("docs/http.md").block("js", "@segment/analytics-node"), host, key) + sends)
    sdk.run(program)


def addressed(source: str, host: str, key: str) -> str:
    """Return *source* of our documentation with the test's host and key."""
    return replaced(replaced(source, "http://127.0.0.1:8080", host), "<token>", key)


@pytest.fixture(scope="package")
def examples(pipeline: Stack, sdks: Mapping[str, Sdk], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The pipeline after every example program has run."""
    directory = tmp_path_factory.mktemp("examples")
    host, key = pipeline.gateways[0], pipeline.token
    runs = {
        python_example: sdks["python"],
        node_example: sdks["node"],
        our_python_example: sdks["python"],
        our_node_example: sdks["node"],
    }
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(run, sdk, directory, host, key) for run, sdk in runs.items()]:
            done.result()
    wait_until_idle(pipeline)
    return pipeline


def test_python_example_stores_an_event_and_a_person(examples: Stack) -> None:
    (event,) = rows(examples, "events", "python-example")
    (person,) = rows(examples, "persons", "python-example")

    assert (event["event"], event["properties"]) == ("Ordered", {"price": 42.5})
    assert person["traits"] == {"plan": "pro"}


def test_node_example_stores_an_event_and_an_identify(examples: Stack) -> None:
    (event,) = rows(examples, "events", "node-example")
    (identify,) = rows(examples, "identifies", "node-example")

    assert (event["event"], event["properties"]) == ("Add to cart", {"productId": "123456"})
    assert identify["traits"] == {}


@pytest.mark.parametrize(("user", "event"), [("ada", "Order Completed"), ("readme-node", "Started")])
def test_example_of_our_documentation_stores_its_event(examples: Stack, user: str, event: str) -> None:
    assert [row["event"] for row in rows(examples, "events", user)] == [event]
