"""Logging of every process: one line to standard error for each life-cycle event, as text or as JSON.

Log lines contain no payloads and no tokens. Numbers belong to the metrics. Everything that a process writes goes
through here: warnings of Python, exceptions that nobody caught, and the lines of libraries without their repeats.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Literal, TextIO

from schemas.log_throttle import Throttle
from schemas.settings import setting

_LIBRARY_LEVELS = {
    # These log every rebalance step, request or timer at INFO; the pipeline logs the events that matter itself.
    **dict.fromkeys(
        ("aiohttp.access", "aiokafka", "asyncio", "clickhouse_connect", "faust", "mode", "urllib3"), logging.WARNING
    ),
    # These log a WARNING for each attempt that fails, and raise an error that says the same.
    "clickhouse_connect.driver._backend": logging.ERROR,
    "urllib3.connectionpool": logging.ERROR,
    # It warns of each timer that an outage or a load delays; the watchdog finds what stands still.
    "mode.timers": logging.ERROR,
}
_OWN_PACKAGES = frozenset({"gateway", "processors", "schemas", "deploy"})
_REMEMBERED_LINES = 1000
"""Different lines of libraries whose repeats are counted; beyond, counting starts again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Level and format of a process's log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "SEQUENCE_LOG_LEVEL", "INFO", "Least severe level that is logged"
    )
    format: Literal["text", "json"] = setting("SEQUENCE_LOG_FORMAT", "text", "Format of log lines")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the fields of `extra` beside the message."""

    _STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as one line of JSON."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in self._STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """One line of text: time in UTC, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # stdlib's name
        """Return the record's time in UTC."""
        del datefmt
        return _time(record)


class RepeatFilter(logging.Filter):
    """Leaves out repeats of a library's line; the next one that is logged has their number.

    Libraries log each attempt of a retry. Lines of the pipeline itself pass: they are limited where they are written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int, str], tuple[Throttle, list[int]]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is logged."""
        if record.levelno < logging.WARNING or record.name.partition(".")[0] in _OWN_PACKAGES:
            return True
        if len(self._seen) >= _REMEMBERED_LINES:
            self._seen.clear()
        throttle, left_out = self._seen.setdefault((record.name, record.levelno, str(record.msg)), (Throttle(), [0]))
        if not throttle.take(monotonic()):
            left_out[0] += 1
            return False
        if left_out[0]:
            record.msg, record.args = f"{record.getMessage()} (repeated {left_out[0]} times since the last line)", ()
            left_out[0] = 0
        return True


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write the log of this process, warnings and uncaught exceptions included, to *stream*: by default stderr."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    debug = settings.level == "DEBUG"
    if not debug:
        handler.addFilter(RepeatFilter())
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    for name, level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(logging.NOTSET if debug else level)
    logging.captureWarnings(capture=True)
    # asyncio and uvloop log what a task or a callback raises; these are the other places.
    sys.excepthook = _on_uncaught
    threading.excepthook = _on_uncaught_in_thread
    sys.unraisablehook = _on_unraisable


def silence_clients() -> None:
    """Drop the log of Kafka's and ClickHouse's clients: a one-shot command reports the outcome as its own message."""
    for name in ("aiokafka", "clickhouse_connect", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def report_fatal(message: str) -> None:
    """Write *message*, with which this process ends: as a line of its JSON log, or as plain text for a person."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers):
        log.log(logging.CRITICAL, "%s", message)
    else:
        sys.stderr.write(f"Error: {message}\n")


def _on_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("unexpected error, exiting: %s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _on_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is None or not issubclass(failed.exc_type, Exception):
        return
    name = failed.thread.name if failed.thread is not None else "unknown"
    details = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    log.error("thread %s ended by %s: %s", name, failed.exc_type.__name__, failed.exc_value, exc_info=details)


def _on_unraisable(failed: Any) -> None:
    """Log an exception that a destructor or a callback of C code raised. Python ignores it."""
    details = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    log.error("ignored %s: %s", failed.exc_type.__name__, failed.exc_value, exc_info=details)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
