"""How a command ends on an error: one sentence with what to do, in the format of the log."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from deploy.error_messages import report_errors
from deploy.errors import ArgumentError, StateError
from deploy.logging import JsonFormatter
from schemas.settings import SettingsError

DISK_FULL = OSError(errno.ENOSPC, "No space left on device", "/data/x")


def end_with(error: Exception) -> Result:
    """Return the result of a command that raises *error*."""

    @click.command()
    @report_errors
    def command() -> None:
        raise error

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SettingsError("SEQUENCE_PARTITIONS: no"), 2, "SEQUENCE_PARTITIONS: no"),
        (ArgumentError("--set '.a =' is not a valid jq program"), 2, "--set '.a =' is not a valid jq program"),
        (StateError("Set SEQUENCE_STATE_DIR."), 1, "Set SEQUENCE_STATE_DIR."),
        (
            DISK_FULL,
            1,
            "Cannot use /data/x: No space left on device. Free disk space, or set SEQUENCE_STATE_DIR to another disk.",
        ),
        (
            ModuleNotFoundError("No module named 'chdb'"),
            1,
            "No module named 'chdb'. Install the package again: pip install 'sequence-events[local]'",
        ),
    ],
)
def test_error_ends_with_a_sentence_and_its_exit_code(error: Exception, code: int, message: str) -> None:
    result = end_with(error)

    assert (result.exit_code, result.output) == (code, f"Error: {message}\n")


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(errno.ECONNRESET, "reset"), OSError("odd")])
def test_bug_keeps_its_traceback(error: Exception) -> None:
    assert end_with(error).exception is error


@pytest.fixture
def json_log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_service_with_a_json_log_reports_the_error_there(json_log: io.StringIO) -> None:
    result = end_with(StateError("Set SEQUENCE_STATE_DIR."))
    written = json.loads(json_log.getvalue())

    assert (result.exit_code, result.output) == (1, "")
    assert (written["level"], written["message"]) == ("critical", "Set SEQUENCE_STATE_DIR.")
