"""The console of a running stack: its replies are those of the OpenAPI document, and the stack does without it."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from typing import Any

import pytest

from tests.support.console_document import DOCUMENT, check, check_part
from tests.support.console_stack import ConsoleStack
from tests.support.services import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


def ask(stack: ConsoleStack, path: str, token: str) -> tuple[int, Any]:
    """Return status and content of a reply."""
    request = urllib.request.Request(f"{stack.url}{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310  # http
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310  # as above
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def open_stream(stack: ConsoleStack, token: str, query: str = "") -> HTTPResponse:
    request = urllib.request.Request(f"{stack.url}api/live{query}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310  # http
    reply: HTTPResponse = urllib.request.urlopen(request, timeout=30)  # noqa: S310  # as above
    return reply


def events_of(stream: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Yield name and data of each event until the stream ends."""
    name = ""
    for line in stream:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


@pytest.mark.parametrize(
    ("path", "described"),
    [
        ("api/session", "/api/session"),
        ("api/events?limit=5", "/api/events"),
        ("api/events?verdict=rejected&since=1h", "/api/events"),
        ("api/rates?since=10m", "/api/rates"),
        ("api/rejected", "/api/rejected"),
        ("api/persons/ada?project=dev", "/api/persons/{userId}"),
        ("api/persons?userId=ada", "/api/persons"),
        ("api/trace/shop-1", "/api/trace/{messageId}"),
        ("api/trace?messageId=shop-6", "/api/trace"),
        ("api/status", "/api/status"),
        ("api/audit", "/api/audit"),
        ("api/persons/ada/history?project=dev", "/api/persons/{userId}/history"),
        ("health/live", "/health/live"),
        ("health/ready", "/health/ready"),
    ],
)
def test_reply_is_the_one_of_the_document(stack: ConsoleStack, path: str, described: str) -> None:
    status, content = ask(stack, path, stack.operate_token)
    assert status == 200, content
    check(content, described)


@pytest.mark.parametrize(
    ("path", "described", "status"),
    [
        ("api/events?limit=0", "/api/events", 400),
        ("api/persons/nobody?project=dev", "/api/persons/{userId}", 404),
        ("api/events?project=missing", "/api/events", 404),
    ],
)
def test_error_is_the_one_of_the_document(stack: ConsoleStack, path: str, described: str, status: int) -> None:
    found, content = ask(stack, path, stack.operate_token)
    assert found == status
    check(content, described, status)


def test_document_lists_the_routes(stack: ConsoleStack) -> None:
    _, served = ask(stack, "openapi.json", stack.operate_token)

    assert served == DOCUMENT
    for path, methods in DOCUMENT["paths"].items():
        if "get" in methods and "{" not in path and path not in {"/api/live", "/metrics"}:
            assert ask(stack, path.removeprefix("/"), stack.operate_token)[0] != 404, path


def test_trace_says_that_the_rows_are_visible(stack: ConsoleStack) -> None:
    _, found = ask(stack, "api/trace/shop-1", stack.operate_token)

    assert [(each["dedupe"], each["row"]) for each in found["occurrences"]] == [
        ("unique", "visible"),
        ("duplicate", "visible"),
    ]
    assert found["notes"] == []


def test_operator_token_is_a_file_for_its_owner(stack: ConsoleStack) -> None:
    file = stack.state / "operate-token"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"Console: {stack.url}" in stack.output.read_text()
    assert f"  cat {file}" in stack.output.read_text()
    assert stack.operate_token not in stack.output.read_text()
    assert stack.operate_token not in (stack.state / "logs" / "console.log").read_text()


def test_items_reach_an_open_stream_with_their_verdict(stack: ConsoleStack) -> None:
    with open_stream(stack, stack.operate_token, "?userId=live") as stream:
        events = events_of(stream)
        assert next(events)[0] == "heartbeat"
        # The first rates show that the reader has begun.
        assert next(name for name, _ in events if name != "heartbeat") == "rates"
        item = {"type": "track", "userId": "live", "event": "Opened", "messageId": "live-1"}
        stack.send_items([item, {**item, "messageId": "live-2", "event": ""}])
        stack.send_items([item])
        stack.send_items([{**item, "userId": "somebody else", "messageId": "live-3"}])
        found = []
        for name, data in events:
            if name == "item":
                check_part(data, "Item")
                found.append((data["verdict"], data["messageId"], data["code"]))
            if len(found) == 3:
                break

    assert sorted(found) == [
        ("accepted", "live-1", None),
        ("duplicate", "live-1", None),
        ("rejected", "live-2", "event_required"),
    ]


def test_revoked_token_ends_within_seconds_with_its_open_stream(stack: ConsoleStack) -> None:
    token = stack.read_token()
    assert ask(stack, "api/events", token)[0] == 200
    with open_stream(stack, token) as stream:
        stack.revoke(token)
        began = time.monotonic()
        assert [data for name, data in events_of(stream) if name == "end"] == [{"code": "unauthorized"}]
        assert time.monotonic() - began < 3
    assert ask(stack, "api/events", token)[0] == 401


def test_gateway_does_not_accept_tokens_of_the_console(stack: ConsoleStack) -> None:
    for token in (stack.operate_token, stack.read_token()):
        request = urllib.request.Request(
            f"http://127.0.0.1:{stack.gateway}/event/batch", b'{"batch":[]}', {"Authorization": f"Bearer {token}"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)  # noqa: S310  # http
        with refused.value:  # otherwise its socket stays open until the garbage collector finds it
            assert refused.value.code == 401


def test_killed_console_is_started_again_and_the_stack_runs_on(stack: ConsoleStack) -> None:
    before = {name: stack.pid(name) for name in ("gateway-1", "dedupe-1", "sink-1", "kafka", "clickhouse")}
    killed, ready = stack.pid("console"), "console is ready again"
    before_ready = stack.output.read_text().count(ready)
    os.kill(killed, signal.SIGKILL)
    stack.send_items([{"type": "track", "userId": "u", "event": "Meanwhile", "messageId": "meanwhile"}])

    eventually(
        lambda: stack.output.read_text().count(ready) > before_ready, "the console is started again", within_seconds=60
    )
    assert stack.pid("console") != killed
    assert {name: stack.pid(name) for name in before} == before
    eventually(
        lambda: (
            [each["row"] for each in ask(stack, "api/trace/meanwhile", stack.operate_token)[1].get("occurrences", [])]
            == ["visible"]
        ),
        "the item that was sent meanwhile is visible",
    )


def test_paused_kafka_and_clickhouse_are_named_and_pages_come_back(stack: ConsoleStack) -> None:
    os.kill(stack.pid("clickhouse"), signal.SIGSTOP)
    try:
        status, content = ask(stack, "api/events", stack.operate_token)
        assert (status, content["code"]) == (503, "clickhouse_unavailable")
        check(content, "/api/events", 503)
        assert ask(stack, "api/session", stack.operate_token)[0] == 200
    finally:
        os.kill(stack.pid("clickhouse"), signal.SIGCONT)
    with open_stream(stack, stack.operate_token) as stream:
        events = events_of(stream)
        assert next(name for name, _ in events if name == "rates")
        _pause_kafka(stack, events)


def _pause_kafka(stack: ConsoleStack, events: Iterator[tuple[str, Any]]) -> None:
    os.kill(stack.pid("kafka"), signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as threads:  # Both take Kafka's time to answer.
            trace = threads.submit(ask, stack, "api/trace/shop-1", stack.operate_token)
            assert ask(stack, "api/events", stack.operate_token)[0] == 200
            unread = next(data for name, data in events if name == "source")
            status, content = trace.result()
        assert (unread["isRead"], unread["message"].split(".")[0]) == (False, "Kafka does not answer")
        check_part(unread, "Source")
        assert (status, [each["row"] for each in content["occurrences"]]) == (200, ["visible", "visible"])
        assert any("The topics were not searched" in note for note in content["notes"])
    finally:
        os.kill(stack.pid("kafka"), signal.SIGCONT)
    assert next(data for name, data in events if name == "source") == {"isRead": True, "message": None}
    eventually(lambda: ask(stack, "api/events", stack.operate_token)[0] == 200, "the console answers again")
