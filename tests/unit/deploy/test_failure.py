"""The cause of a process's end is found in its output, as one sentence that says what to do."""

from __future__ import annotations

import os
import signal

import pytest

from deploy.failure import KILLED, Cause, Failure, last_warning, python_cause, with_remedy

TIME = "2026-11-29T02:05:22.772Z"
TRACEBACK = """\
Traceback (most recent call last):
  File "/opt/deploy/cli.py", line 275, in <module>
    main()
ModuleNotFoundError: No module named 'chdb'"""

TOPICS = "Topics missing: a. Create them with `sequence topics apply`."
OUTPUTS = {
    "an error of a command": (
        f"{TIME} INFO gateway.server: draining\nError: Topics missing: a. Create them with `sequence topics apply`.",
        "Topics missing: a. Create them with `sequence topics apply`.",
    ),
    "settings, one a line": (
        "Error: SEQUENCE_GATEWAY_PORT: Expected `int` <= 65535, not 99999\nSEQUENCE_LOG_LEVEL: Invalid value 'LOUD'",
        "SEQUENCE_GATEWAY_PORT: Expected `int` <= 65535, not 99999 SEQUENCE_LOG_LEVEL: Invalid value 'LOUD'.",
    ),
    "a worker that needs a person": (
        f"{TIME} CRITICAL processors.engine.exit: cannot continue, exiting with code 78 (a person must act): {TOPICS}",
        "Topics missing: a. Create them with `sequence topics apply`.",
    ),
    "a fatal error and its traceback": (
        f"{TIME} CRITICAL processors.engine.exit: fatal error, exiting with code 70 (a restart recovers): "
        f"StalledError: No progress for 60 s.\n{TRACEBACK}".replace("ModuleNotFoundError: No module named 'chdb'", ""),
        "StalledError: No progress for 60 s.",
    ),
    "an uncaught exception": (
        f"{TIME} CRITICAL deploy.logging: unexpected error, exiting: OSError: [Errno 28] No space left on device",
        "OSError: [Errno 28] No space left on device. Free disk space, or set SEQUENCE_STATE_DIR to another disk.",
    ),
    "a traceback alone": (
        TRACEBACK,
        "ModuleNotFoundError: No module named 'chdb'. Install the package again: pip install 'sequence-events[local]'",
    ),
    "JSON": (
        """\
{"time": "t", "level": "info", "logger": "a", "message": "started"}
{"time": "t", "level": "critical", "message": "cannot start, exiting with code 70 (a restart retries): Kafka is away."}
{"time": "t", "level": "info", "logger": "a", "message": "stopped"}""",
        "Kafka is away.",
    ),
}
"""What a process wrote, and the sentence."""


@pytest.mark.parametrize("name", OUTPUTS)
def test_cause_is_the_sentence_with_which_the_process_ended(name: str) -> None:
    output, cause = OUTPUTS[name]

    assert python_cause(output.splitlines()) == Cause(cause)


@pytest.mark.parametrize(
    "output",
    [
        "",
        f"{TIME} INFO gateway.server: stopped",
        f"{TIME} WARNING a.b: Kafka is away",
        '{"level": 7}',
        "{broken",
        "x: y",
    ],
)
def test_output_without_a_fatal_line_has_no_cause(output: str) -> None:
    assert python_cause(output.splitlines()) is None


def test_last_warning_says_what_a_running_process_waits_for() -> None:
    lines = [f"{TIME} WARNING a.b: first", f"{TIME} WARNING a.b: Kafka is away", f"{TIME} INFO a.b: waiting"]

    assert last_warning(lines) == Cause("Kafka is away.")
    assert last_warning(['{"level": "warning", "message": "Kafka is away"}']) == Cause("Kafka is away.")
    assert last_warning(lines[2:]) is None


@pytest.mark.parametrize("code", [2, os.EX_CONFIG])
def test_restart_does_not_help_against_settings_and_what_a_person_must_do(code: int) -> None:
    assert Failure("exited", code).is_final
    assert not Failure("exited", 1).is_final
    assert not Failure("exited", os.EX_SOFTWARE).is_final
    assert Failure("exited", 1, Cause("The disk is full.", permanent=True)).is_final


@pytest.mark.parametrize("code", [-signal.SIGKILL, 128 + signal.SIGKILL])
def test_killed_process_has_a_reason(code: int) -> None:
    assert Failure("was killed by signal 9", code).reason == KILLED
    assert Failure("was killed by signal 11", code - 2).reason == ""


def test_remedy_is_added_once_and_only_if_the_message_has_none() -> None:
    full = "Cannot write a.log: No space left on device"

    assert with_remedy(full).endswith("device. Free disk space, or set SEQUENCE_STATE_DIR to another disk.")
    assert with_remedy(with_remedy(full)) == with_remedy(full)
    assert with_remedy("Set SEQUENCE_CACHE_DIR: Permission denied") == "Set SEQUENCE_CACHE_DIR: Permission denied."


def test_stack_of_the_engine_is_left_out() -> None:
    cause = python_cause(
        ["Error: The engine failed: Code: 439. DB::Exception: no thread, Stack trace (when copying): 0. ?"]
    )

    assert cause == Cause("The engine failed: Code: 439. DB::Exception: no thread")


def test_very_long_cause_is_shortened() -> None:
    cause = python_cause([f"Error: {'x' * 10_000}"])

    assert cause is not None
    assert len(cause.text) < 700
