"""The libraries' own example programs, only host and key replaced: all their events are in ClickHouse, once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.sdk.installing import Sdk
from tests.support import documents

pytestmark = pytest.mark.timeout(420)
# What the example of Node's library takes as given: "some express-like web framework", and somebody who calls.
EXPRESS = "const routes = {}; const app = { post: (path, handler) => { routes[path] = handler } };"
CALLS = """
for (const path of ['/login', '/cart']) routes[path]({ body: { userId: 'node-example' } }, { sendStatus() {} });
analytics.closeAndFlush({ timeout: 30000 });
"""


def rows(stack: Stack, table: str, user: str) -> list[dict[str, Any]]:
    """Return what *table* has of *user*."""
    return stack.query(f"SELECT * FROM {table} WHERE user_id = '{user}'")  # noqa: S608  # our own names


def replaced(source: str, old: str, new: str) -> str:
    """Return *source* with *old*, which must be there once, as *new*."""
    assert source.count(old) == 1
    return source.replace(old, new)


def python_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run the library's simulator, once for each kind of item that we take."""
    line = "analytics.write_key = options.writeKey\n"
    program = directory / "simulator.py"
    source = (sdk.directory / "simulator.py").read_text()
    program.write_text(replaced(source, line, f"{line}analytics.host = {host!r}\n"))
    track = ("--type", "track", "--event", "Ordered", "--properties", '{"price": 42.5}')
    for arguments in (track, ("--type", "identify", "--traits", '{"plan": "pro"}')):
        sdk.run(program, "--writeKey", key, "--userId", "python-example", *arguments)


def node_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run what the library's own manual shows."""
    manual = (sdk.directory / "node_modules" / "@segment" / "analytics-node" / "README.md").read_text()
    (source,) = re.findall(r"```ts\n(.*?)```", manual, re.DOTALL)
    # It shows two ways to import, of which a program takes one.
    source = replaced(source, "import { Analytics } from '@segment/analytics-node'\n", "")
    source = replaced(source, "writeKey: '<MY_WRITE_KEY>'", f"host: '{host}', writeKey: '{key}'")
    program = directory / "example.cjs"
    program.write_text(EXPRESS + source + CALLS)
    sdk.run(program)


def our_python_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run what our own manual shows for Python."""
    program = directory / "ours.py"
    program.write_text(addressed(documents.block("python", "segment.analytics"), host, key))
    sdk.run(program)


def our_node_example(sdk: Sdk, directory: Path, host: str, key: str) -> None:
    """Run what our own manual shows for Node, which ends before anything is sent."""
    (directory / "node_modules").symlink_to(sdk.directory / "node_modules")
    program = directory / "ours.mjs"
    sends = "analytics.track({ userId: 'readme-node', event: 'Started' }); await analytics.closeAndFlush()"
    program.write_text(addressed(documents.block("js", "@segment/analytics-node"), host, key) + sends)
    sdk.run(program)


def addressed(source: str, host: str, key: str) -> str:
    """Return *source* of our own manual with the test's host and key."""
    return replaced(replaced(source, "http://127.0.0.1:8080", host), "<token>", key)


@pytest.fixture(scope="package")
def examples(pipeline: Stack, sdks: dict[str, Sdk], tmp_path_factory: pytest.TempPathFactory) -> Stack:
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


def test_the_example_of_python(examples: Stack) -> None:
    (event,) = rows(examples, "events", "python-example")
    (person,) = rows(examples, "persons", "python-example")

    assert (event["event"], event["properties"]) == ("Ordered", {"price": 42.5})
    assert person["traits"] == {"plan": "pro"}


def test_the_example_of_node(examples: Stack) -> None:
    (event,) = rows(examples, "events", "node-example")
    (identify,) = rows(examples, "identifies", "node-example")

    assert (event["event"], event["properties"]) == ("Add to cart", {"productId": "123456"})
    assert identify["traits"] == {}


@pytest.mark.parametrize(("user", "event"), [("ada", "Order Completed"), ("readme-node", "Started")])
def test_the_examples_of_our_own_readme(examples: Stack, user: str, event: str) -> None:
    assert [row["event"] for row in rows(examples, "events", user)] == [event]
