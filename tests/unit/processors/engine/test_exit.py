"""Exit codes, and what a worker says when it exits."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from processors.engine.errors import ExpiredInputError, KafkaUnavailableError, SkippedRecordsError, TopicsError
from processors.engine.exit import exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SkippedRecordsError("gap"), os.EX_SOFTWARE),
        (KafkaUnavailableError("away"), os.EX_SOFTWARE),
        (ValueError("unexpected"), os.EX_SOFTWARE),
        (TopicsError("missing"), os.EX_CONFIG),
        (ExpiredInputError("expired"), os.EX_CONFIG),
    ],
)
def test_exit_code_says_whether_a_person_must_act(error: Exception, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("error", "code", "said", "traceback"),
    [
        ("errors.TopicsError('Topics missing: a.')", 78, "Topics missing: a.", False),
        ("errors.KafkaUnavailableError('Kafka is away.')", 70, "Kafka is away.", False),
        ("ValueError('odd')", 70, "fatal error, exiting with code 70 (a restart recovers): ValueError: odd", True),
    ],
)
def test_worker_exits_at_once_and_says_why(error: str, code: int, said: str, *, traceback: bool) -> None:
    script = (
        "from processors.engine import errors, exit\n"
        f"try:\n    raise {error}\n"
        "except Exception as error:\n    exit.fail_fast(error)\n"
        "finally:\n    print('shutdown handlers ran')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert ended.returncode == code
    assert said in ended.stderr
    assert ("Traceback" in ended.stderr) is traceback
    assert ended.stdout == ""
