"""Log lines as text and as JSON."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from deploy.logging import LogSettings, RepeatFilter, configure, silence_clients
from schemas.settings import SettingsError, load

log = logging.getLogger("sequence.test")


@pytest.fixture(autouse=True)
def root_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what `configure` sets for the whole process."""
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def lines(settings: LogSettings) -> list[str]:
    stream = io.StringIO()
    configure(settings, stream)
    log.info("partition %d assigned", 3, extra={"topic": "items"})
    try:
        int("broken")
    except ValueError:
        log.exception("ended")
    logging.getLogger("aiokafka.cluster").info("metadata refreshed")
    return stream.getvalue().splitlines()


def test_json_line_contains_the_extra_fields() -> None:
    first, second = [json.loads(line) for line in lines(LogSettings(format="json"))]

    assert first.items() >= {"level": "info", "message": "partition 3 assigned", "topic": "items"}.items()
    assert first["time"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


def test_text_line_has_time_level_logger_and_message() -> None:
    first = lines(LogSettings())[0]

    assert first.endswith("Z INFO sequence.test: partition 3 assigned")


def test_info_lines_of_client_libraries_are_dropped() -> None:
    assert not any("metadata refreshed" in line for line in lines(LogSettings(format="json")))


def test_unknown_level_is_rejected() -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_LOG_LEVEL"):
        load(LogSettings, {"SEQUENCE_LOG_LEVEL": "LOUD"})


def test_debug_level_shows_the_client_libraries_after_they_were_silenced() -> None:
    silence_clients()

    assert any("metadata refreshed" in line for line in lines(LogSettings(level="DEBUG")))


def refused_connections(level: str) -> list[str]:
    """Return what a process logs whose ClickHouse refuses three connections."""
    script = f"""
from deploy.logging import LogSettings, configure
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import UnavailableError
from schemas.settings import ClickHouseSettings
configure(LogSettings(level={level!r}))
clickhouse = ClickHouse(ClickHouseSettings(url="http://127.0.0.1:9"))
for _ in range(3):
    try:
        clickhouse.query("SELECT 1")
    except UnavailableError:
        print("unavailable")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count("unavailable") == 3
    return done.stderr.splitlines()


def test_client_of_clickhouse_logs_no_line_for_each_attempt_that_fails() -> None:
    assert refused_connections("INFO") == []
    # The control: without the levels of the libraries there are two lines for each attempt.
    warnings = [line for line in refused_connections("DEBUG") if " WARNING " in line]
    assert len(warnings) == 6


def repeated(name: str, times: int) -> list[str]:
    """Return what is logged when logger *name* repeats a warning with another value *times* times."""
    repeats = RepeatFilter()
    records = [
        logging.LogRecord(name, logging.WARNING, "", 0, "node %d is away", (number,), None) for number in range(times)
    ]
    return [record.getMessage() for record in records if repeats.filter(record)]


def test_repeats_of_a_librarys_line_are_left_out() -> None:
    assert repeated("aiokafka.conn", 500) == ["node 0 is away"]


def test_every_line_of_the_pipeline_itself_is_logged() -> None:
    assert len(repeated("processors.sink.writer", 500)) == 500


def test_line_after_repeats_has_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("deploy.logging.monotonic", lambda: now)
    repeats = RepeatFilter()
    logged = []
    for second in range(32):
        now = float(second)
        record = logging.LogRecord("faust.app", logging.ERROR, "", 0, "away", (), None)
        if repeats.filter(record):
            logged.append(record.getMessage())

    assert logged == [
        "away",
        "away (repeated 9 times since the last line)",
        "away (repeated 19 times since the last line)",
    ]


LAST_LINES = {
    "exception": ("raise ValueError('odd')", "unexpected error, exiting: ValueError: odd"),
    "thread": (
        "import threading; one = threading.Thread(target=int, args=('x',), name='reader'); one.start(); one.join()",
        "thread reader ended by ValueError: invalid literal for int() with base 10: 'x'",
    ),
    "destructor": (
        "type('Odd', (), {'__del__': lambda self: 1 / 0})()",
        "ignored ZeroDivisionError: division by zero",
    ),
    "warning": ("import warnings; warnings.warn('old')", "<string>:5: UserWarning: old"),
    "task": (
        """
import asyncio, uvloop
async def main():
    asyncio.get_running_loop().call_soon(int, "x")
    await asyncio.sleep(0.01)
uvloop.run(main())
""",
        "Exception in callback",
    ),
    "fatal": ("report_fatal('Topics missing: a.')", "Topics missing: a."),
}
"""What a process does, and the message that it must log."""


def run_with(configuring: str, code: str) -> str:
    """Return what a process writes to standard error."""
    script = f"import sys\nfrom deploy.logging import LogSettings, configure, report_fatal\n{configuring}\n\n{code}\n"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("name", LAST_LINES)
def test_every_line_of_a_process_is_json_when_asked(name: str) -> None:
    code, message = LAST_LINES[name]
    written = run_with("configure(LogSettings(format='json'))", code).splitlines()

    assert [json.loads(line)["message"][: len(message)] for line in written] == [message]
    # The control: without `configure` the same process writes text.
    assert not run_with("", code).startswith("{")


def test_uncaught_exception_is_one_line_of_text_before_its_traceback() -> None:
    first, *trace = run_with("configure(LogSettings())", LAST_LINES["exception"][0]).splitlines()

    assert first.endswith("CRITICAL deploy.logging: unexpected error, exiting: ValueError: odd")
    assert trace[0] == "Traceback (most recent call last):"
