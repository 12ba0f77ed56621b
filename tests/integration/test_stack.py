"""`sequence up` as a user runs it: one command, real services, data that survives a restart."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.passwords import ANALYST_FILE, WRITER_FILE
from tests.support.local_stack import Stack, pasted
from tests.support.marks import in_make_faults
from tests.support.services import alive, eventually

SERVICES = {"kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1", "console"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.state.mkdir()
    stack.state.chmod(0o755)  # as an earlier version created it
    stack.start()
    yield stack
    stack.kill()


def new_event_name() -> str:
    return f"Tested {secrets.token_hex(4)}"


def wait_for_event(stack: Stack, event: str, *, within_seconds: float = 20) -> None:
    eventually(lambda: stack.stored(event) > 0, f"{event} is in ClickHouse", within_seconds=within_seconds)


def test_every_service_runs_and_has_a_status_line(stack: Stack) -> None:
    ready = {line.split()[0] for line in stack.output.read_text().splitlines() if " ready " in line}

    assert ready == SERVICES
    assert all(alive(stack.pid(service)) for service in SERVICES)


def test_printed_commands_work_unchanged(stack: Stack) -> None:
    event = new_event_name()

    reply = stack.post(event)

    assert (reply["accepted"], reply["rejected"]) == (2, 0)
    wait_for_event(stack, event)
    (row,) = stack.rows(event)
    assert (row[1], json.loads(row[2])) == ("ada", {"price": 42.5})
    assert pasted(stack.line("Show the token of project 'dev':")).strip() == stack.secrets()["dev-token"]


def test_state_is_readable_by_its_owner_only(stack: Stack) -> None:
    wait_for_event(stack, stack_event(stack))
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in stack.state.rglob("*") if not path.is_symlink()}

    assert stat.S_IMODE(stack.state.stat().st_mode) == 0o700
    assert {stack.state / name: 0o600 for name in stack.secrets()}.items() <= modes.items()
    assert len(modes) > 100
    assert {path: mode for path, mode in modes.items() if mode & 0o077} == {}


def stack_event(stack: Stack) -> str:
    """Send an event and return its name."""
    event = new_event_name()
    stack.post(event)
    return event


def test_no_secret_is_in_a_command_line_a_log_or_the_output(stack: Stack) -> None:
    wait_for_event(stack, stack_event(stack))
    found = stack.secrets()
    assert len(set(found.values())) == 4
    assert leaks(stack) == set()

    planted = stack.state / "logs" / "planted.log"
    planted.write_text(f"password {found[ANALYST_FILE]}\n")
    with (stack.state / "run" / "planted").open("wb") as pipe:
        command = [sys.executable, "-c", "input()", found[WRITER_FILE]]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=pipe)
    try:
        assert leaks(stack, process.pid) == {("planted.log", ANALYST_FILE), ("command line", WRITER_FILE)}
    finally:
        process.communicate()
        planted.unlink()
        (stack.state / "run" / "planted").unlink()


def leaks(stack: Stack, *others: int) -> set[tuple[str, str]]:
    """Return which secret is where: in the command line of a process, in a log, or in what the stack printed."""
    texts = [
        (file.name, file.read_text(errors="replace")) for file in [*(stack.state / "logs").iterdir(), stack.output]
    ]
    texts += [("command line", " ".join(psutil.Process(pid).cmdline())) for pid in [*stack.processes(), *others]]
    return {(place, name) for place, text in texts for name, secret in stack.secrets().items() if secret in text}


@pytest.mark.parametrize(
    ("service", "needed"),
    [
        ("clickhouse", {WRITER_FILE, ANALYST_FILE}),
        ("sink-1", {WRITER_FILE}),
        *((name, set[str]()) for name in ("kafka", "gateway-1", "dedupe-1", "persons-1", "console")),
    ],
)
def test_process_has_only_the_secrets_that_it_needs(stack: Stack, service: str, needed: set[str]) -> None:
    environ = psutil.Process(stack.pid(service)).environ()

    assert {name for name, secret in stack.secrets().items() if secret in environ.values()} == needed


def test_second_stack_on_the_same_directory_is_rejected(stack: Stack) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"], env=stack.environ, capture_output=True, text=True, check=False
    )

    assert second.returncode == 1
    assert "SEQUENCE_STATE_DIR" in second.stderr
    assert stack.is_up()


def test_port_in_use_is_named_with_its_setting_before_any_service_starts(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path)
    other.environ["SEQUENCE_GATEWAY_PORT"] = str(stack.gateway)

    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"], env=other.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f"Port {stack.gateway} for gateway-1 is in use" in done.stderr
    assert "SEQUENCE_GATEWAY_PORT" in done.stderr
    assert not (other.state / "run").exists()


@pytest.mark.parametrize(
    "service", ["kafka", "sink-1", *in_make_faults("clickhouse", "dedupe-1", "gateway-1", "persons-1")]
)
def test_killed_service_is_restarted_and_events_arrive_once(stack: Stack, service: str) -> None:
    first = stack.pid(service)
    assert not stack.said(f"{service} is ready again")

    os.kill(first, signal.SIGKILL)
    eventually(lambda: stack.said(f"{service} is ready again"), f"{service} is ready again", within_seconds=40)

    assert stack.said(f"{service} was killed by signal 9")
    assert stack.pid(service) != first
    event = new_event_name()
    stack.post(event)
    # A killed worker's partitions are reassigned after its session timeout.
    wait_for_event(stack, event, within_seconds=40)
    assert stack.stored(event) == 1


def test_stopped_stack_leaves_no_process_and_keeps_its_data(stack: Stack) -> None:
    event = new_event_name()
    stack.post(event)
    wait_for_event(stack, event)
    kept, before = stack.secrets(), stack.processes()

    assert stack.send(signal.SIGTERM) == 0

    assert not any(alive(pid) for pid in before)
    assert not list((stack.state / "run").glob("*.pid"))
    stack.start()
    assert stack.secrets() == kept
    assert len(stack.rows(event)) == 1
    later = new_event_name()
    stack.post(later)
    wait_for_event(stack, later)
    assert stack.stored(event) == 1


def test_stack_without_its_clickhouse_directory_starts_again(stack: Stack) -> None:
    kept = stack.secrets()
    assert stack.send(signal.SIGTERM) == 0
    shutil.rmtree(stack.state / "clickhouse")

    stack.start()

    assert stack.secrets() == kept
    wait_for_event(stack, stack_event(stack))


def test_killed_stack_leaves_no_process(stack: Stack) -> None:
    before = stack.processes()
    # Each service is two processes, its watchdog and itself; the supervisor is one.
    assert len(before) >= 1 + 2 * len(SERVICES)

    stack.send(signal.SIGKILL)

    eventually(lambda: not any(alive(pid) for pid in before), "no process is left", within_seconds=10)
