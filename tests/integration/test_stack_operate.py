"""What an operator asks of `sequence up`: status, doctor, the probe and a trace, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.commands.status import WELL
from deploy.demo.questions import QUESTIONS
from tests.support.local_stack import PROGRAM, Stack
from tests.support.services import eventually


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that runs."""
    made = Stack(tmp_path_factory.mktemp("stack"))
    made.start()
    yield made
    made.kill()


def sequence(stack: Stack, *arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments), env=stack.environ)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_probe_times_every_stage_up_to_the_row_and_can_be_traced(stack: Stack) -> None:
    result = sequence(stack, "doctor", "--probe", "--project", "dev", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    times = {each["stage"]: each["seconds"] for each in found["stages"]}

    assert found["missing"] == []
    assert times.keys() == {"accepted", "on items.v1", "on events.v1", "row visible"}
    assert 0 < times["on items.v1"] <= times["on events.v1"] <= times["row visible"] < 30
    traced = sequence(stack, "trace", found["messageId"])
    assert traced.exit_code == 0
    assert "Row       visible in events" in traced.output
    (occurrence,) = json.loads(sequence(stack, "trace", found["messageId"], "--json").stdout)["occurrences"]
    assert len(occurrence["possibleTokens"]) == 1


def test_probe_refuses_a_token_of_another_project(stack: Stack) -> None:
    result = sequence(stack, "doctor", "--probe", "--project", "other")

    assert (result.exit_code, result.output) == (
        1,
        "Error: The token of the probe is one of project dev, not of other.\n",
    )


def test_sample_is_sent_once_and_can_be_queried(stack: Stack) -> None:
    first = sequence(stack, "demo", "--events", "300", "--until", "2026-06-30")
    assert first.exit_code == 0, first.output
    assert "Project demo has 300 items from 2026-04-02 to 2026-06-30.\n" in first.output
    again = sequence(stack, "demo", "--events", "300")
    assert "2026-06-30, of which 300 were there before.\n" in again.output

    answers = [stack.paste(line) for line in first.output.splitlines() if " sql " in line]
    assert len(answers) == len(QUESTIONS)
    assert answers[0].startswith("product_viewed\t")
    assert all(answers)

    # What would count twice is not sent.
    other_day = sequence(stack, "demo", "--until", "2026-06-29")
    assert other_day.exit_code == 1
    assert other_day.stderr.startswith(
        "Error: Project demo has the sample up to 2026-06-30 already, and not the one up to 2026-06-29. Nothing was"
    )
    too_late = CliRunner().invoke(main, ["demo"], env={**stack.environ, "SEQUENCE_DEDUPE_WINDOW_DAYS": "0.01"})
    assert too_late.exit_code == 1
    assert "Dedupe recognises repeats for 0.01 days, so its events would count twice." in too_late.stderr


def test_healthy_stack_has_no_findings(stack: Stack) -> None:
    result = sequence(stack, "status")
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, WELL), result.output
    for process in ("kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1", "console"):
        assert f"\n{process} " in result.output

    report = json.loads(sequence(stack, "doctor", "--json").stdout)
    assert [each for each in report["findings"] if each["check"] != "disk"] == []
    assert {"open files", "tables", "topics", "clocks", "retention"} <= {each["name"] for each in report["checks"]}


def test_suspended_clickhouse_is_reported_with_one_remedy(stack: Stack) -> None:
    pid = stack.pid("clickhouse")
    os.kill(pid, signal.SIGSTOP)
    try:
        result = sequence(stack, "status")
        listed = sequence(stack, "rejected", "list")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert result.exit_code == 1
    assert f"ERROR    clickhouse: The process clickhouse ({pid}) is suspended. ClickHouse at http:" in result.output
    assert result.output.count("ERROR ") == 1
    assert f"Let it continue: `kill -CONT {pid}`." in result.output
    assert "It is the process clickhouse of the local stack. Run `sequence status`" in listed.output
    eventually(lambda: sequence(stack, "status").exit_code == 0, "the stack is well again", within_seconds=60)


def test_sql_tells_whether_a_stage_lags(stack: Stack) -> None:
    """The stack records the lag by itself."""
    asked = "SELECT stage, workers, age_seconds < 60 AS is_new FROM lag_now ORDER BY stage FORMAT TSV"

    lags = "dedupe\t1\t1\npersons\t1\t1\nsink\t1\t1"
    eventually(lambda: stack.clickhouse.query(asked) == lags, "each stage is measured")
    done = subprocess.run([*PROGRAM, "sql", asked], env=stack.environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == lags.splitlines()


def test_stack_that_does_not_run_is_one_line(tmp_path: Path) -> None:
    for command in (("status",), ("doctor",), ("trace", "m")):
        result = CliRunner().invoke(main, list(command), env={"SEQUENCE_STATE_DIR": str(tmp_path)})
        assert result.exit_code == 1
        assert result.output.startswith("Error: No local stack has been started")
        assert len(result.output.splitlines()) == 1
