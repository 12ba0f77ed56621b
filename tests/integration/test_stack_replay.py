"""`sequence rejected replay` on a local stack: rejected items become events, once, with their time and messageId."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.local_stack import Stack
from tests.support.services import eventually, free_port


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def name() -> str:
    """A user that no other test has."""
    return f"user-{secrets.token_hex(4)}"


def sequence(stack: Stack, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of *stack*."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env=stack.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def query(stack: Stack, sql: str) -> list[dict[str, Any]]:
    """Return the rows of *sql*, without a process for each look."""
    return stack.clickhouse.rows(sql)


def post(stack: Stack, items: list[dict[str, Any]]) -> None:
    """Send *items* with the development token; some of them, or all, are rejected."""
    request = urllib.request.Request(  # loopback
        f"http://127.0.0.1:{stack.gateway}/event/batch",
        json.dumps({"batch": items}).encode(),
        {"Authorization": f"Bearer {stack.secrets()['dev-token']}", "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310  # as above
    except urllib.error.HTTPError as error:
        assert error.code == 400, error.read()  # noqa: PT017  # every item was rejected


def reject(stack: Stack, name: str, items: list[dict[str, Any]]) -> None:
    """Let *items* of the user *name* be rejected, and wait for their rows."""
    post(stack, [{"userId": name, **item} for item in items])
    sql = f"SELECT count() AS items FROM rejected WHERE user_id = '{name}'"  # noqa: S608  # the test's own
    eventually(lambda: int(query(stack, sql)[0]["items"]) == len(items), "the rejections have rows")


def events(stack: Stack, name: str) -> list[dict[str, Any]]:
    columns = "event, message_id, toString(timestamp) AS timestamp, properties"
    return query(stack, f"SELECT {columns} FROM events WHERE user_id = '{name}' ORDER BY message_id")  # noqa: S608  # as above


def test_replayed_items_are_events_once_with_their_time_and_id(stack: Stack, name: str) -> None:
    time = "2026-01-02T03:04:05Z"
    items = [{"type": "track", "messageId": f"{name}-{number}", "timestamp": time} for number in range(3)]
    reject(stack, name, items)
    command = ["rejected", "replay", "--where", f"user_id = '{name}'", "--set", '.event = "Order Completed"']

    tried = sequence(stack, *command, "--dry-run")
    assert (tried.returncode, events(stack, name)) == (0, []), tried.stderr
    assert '+  "event": "Order Completed"' in tried.stdout
    assert "3 of 3 items read: 3 would be sent, 0 rejected again" in tried.stdout

    for accepted in (1, 2):
        done = sequence(stack, *command, "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["status"], report["read"], report["accepted"]) == ("complete", 3, 3)
        eventually(lambda: len(events(stack, name)) == 3, "the items are events")
        sql = f"SELECT status, read, accepted, rejected, program, who FROM replays FINAL WHERE id = '{report['id']}'"  # noqa: S608
        [row] = query(stack, sql)
        assert (row["status"], int(row["read"]), int(row["accepted"]), int(row["rejected"])) == ("complete", 3, 3, 0)
        assert row["program"] == '.event = "Order Completed"'
        assert "@" in row["who"]
        count = f"SELECT count() AS items FROM duplicates WHERE user_id = '{name}'"  # noqa: S608
        eventually(
            lambda: int(query(stack, count)[0]["items"]) == 3 * (accepted - 1),  # noqa: B023  # called at once
            "the second replay gives duplicates only",
        )

    assert [event["message_id"] for event in events(stack, name)] == [item["messageId"] for item in items]
    assert {event["timestamp"] for event in events(stack, name)} == {"2026-01-02 03:04:05.000000"}


def test_replay_stops_at_the_first_item_that_is_rejected_again(stack: Stack, name: str) -> None:
    reject(stack, name, [{"type": "track", "messageId": f"{name}-{n}", "properties": {"n": n}} for n in range(4)])
    program = 'if .properties.n == 1 then . else .event = "e" end'
    command = ["rejected", "replay", "--where", f"user_id = '{name}'", "--set", program]

    stopped = sequence(stack, *command)
    assert stopped.returncode == 1
    assert "Rejected again: event_required (event): " in stopped.stdout
    assert "Stopped. Correct the program with --set, or add --continue" in stopped.stdout

    done = sequence(stack, *command, "--continue", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["accepted"], [each["items"] for each in report["rejected"]]) == (1, 3, [1])
    eventually(lambda: len(events(stack, name)) == 3, "the others are events")
    sql = f"SELECT count() AS items FROM rejected WHERE user_id = '{name}'"  # noqa: S608
    assert int(query(stack, sql)[0]["items"]) == 4


def test_limit_of_an_item_is_that_of_the_gateway(stack: Stack, name: str) -> None:
    item = {"type": "track", "messageId": name, "event": "e", "properties": {"text": "x" * 40_000}}
    reject(stack, name, [item])
    command = ["rejected", "replay", "--where", f"user_id = '{name}'"]

    assert "1 would be sent" in sequence(stack, *command, "--dry-run").stdout
    done = sequence(stack, *command)
    assert (done.returncode, "Rejected again: item_too_large" in done.stdout) == (1, True), done.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "message"),
    [
        (["--set", ".a ="], {}, 2, "is not a valid jq program: syntax error"),
        (["--where", "code ="], {}, 2, "ClickHouse does not accept --where"),
        (["--code", "none"], {}, 0, "Nothing was rejected with"),
        (["--code", "none", "--dry-run"], {}, 0, "Nothing was rejected with"),
        (["--project", "other"], {}, 1, "The token is one of project dev, but --project is other."),
        ([], {"SEQUENCE_REPLAY_TOKEN": "seq_dev_unknown"}, 1, "SEQUENCE_REPLAY_TOKEN is unknown."),
        (["--limit", "0"], {}, 2, "Invalid value for '--limit'"),
    ],
)
def test_wrong_arguments_are_explained(
    stack: Stack, arguments: list[str], environ: dict[str, str], code: int, message: str
) -> None:
    done = sequence(stack, "rejected", "replay", *arguments, **environ)

    assert (done.returncode, message in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_gateway_that_does_not_answer_is_named_and_the_replay_has_failed(stack: Stack, name: str) -> None:
    reject(stack, name, [{"type": "track", "messageId": name}])
    gateway = f"http://127.0.0.1:{free_port()}"
    command = ["rejected", "replay", "--where", f"user_id = '{name}'", "--set", '.event = "e"', "--gateway", gateway]
    done = sequence(stack, *command)

    assert done.returncode == 1
    assert f"The gateway at {gateway} does not answer: Connection refused." in done.stderr
    rows = query(stack, f"SELECT status, accepted FROM replays FINAL WHERE gateway = '{gateway}'")  # noqa: S608
    assert [(row["status"], int(row["accepted"])) for row in rows] == [("failed", 0)]


def test_audit_adds_up_after_replays(stack: Stack, name: str) -> None:
    reject(stack, name, [{"type": "track", "messageId": name}])
    done = sequence(stack, "rejected", "replay", "--where", f"user_id = '{name}'", "--set", '.event = "e"')
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(events(stack, name)) == 1, "the item is an event")
    done = sequence(stack, "audit", "--json")
    ledger = json.loads(done.stdout)["ledger"]

    assert (done.returncode, ledger["missing"]) == (0, 0), done.stdout
    assert ledger["received"] == ledger["accepted"] + ledger["rejectedByGateway"]
    assert ledger["ofUnique"]["missing"] == ledger["ofRejected"]["missing"] == 0


def test_replayed_item_meets_the_field_rules_of_the_day(stack: Stack, name: str) -> None:
    private = {"email": f"{name}@example.com", "phone": f"{name}-phone", "plan": "pro"}
    reject(stack, name, [{"type": "track", "messageId": f"{name}-before", "properties": private}])
    command = ["rejected", "replay", "--where", f"user_id = '{name}'", "--set", '.event = "e"']
    rules = ["--hash", "properties.email", "--drop", "properties.phone"]
    assert sequence(stack, "project", "rules", "dev", *rules).returncode == 0
    try:
        hashed = sequence(stack, "project", "hash", "dev", private["email"]).stdout.strip()
        eventually(lambda: is_hashed(stack, f"{name}-rules", hashed), "the gateway has the rules")
        post(stack, [{"userId": name, "type": "track", "messageId": f"{name}-after", "properties": private}])
        sql = f"SELECT content FROM rejected WHERE user_id = '{name}' AND message_id = '{name}-after'"  # noqa: S608
        eventually(lambda: bool(query(stack, sql)), "the rejection has a row")
        assert json.loads(query(stack, sql)[0]["content"])["properties"] == {"email": hashed, "plan": "pro"}

        done = sequence(stack, *command)
        assert done.returncode == 0, done.stdout
        said = "applied the field rules of project dev: hash properties.email, drop properties.phone."
        assert said in done.stdout
        eventually(lambda: len(events(stack, name)) == 2, "the items are events")
        assert [each["properties"] for each in events(stack, name)] == [{"email": hashed, "plan": "pro"}] * 2
    finally:
        assert sequence(stack, "project", "rules", "dev", "--remove", rules[1], "--remove", rules[3]).returncode == 0


def is_hashed(stack: Stack, user: str, hashed: str) -> bool:
    """Send another event of *user*, and return whether the gateway hashed the property `email` of one."""
    email = user.removesuffix("-rules") + "@example.com"
    post(stack, [{"userId": user, "type": "track", "event": "e", "properties": {"email": email}}])
    sql = f"SELECT count() AS items FROM events WHERE user_id = '{user}' AND str(properties.email) = '{hashed}'"  # noqa: S608
    return int(query(stack, sql)[0]["items"]) > 0
