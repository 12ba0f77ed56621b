"""Logging of every process: one line to standard error for each life-cycle event, as text or JSON.

Log lines contain no payloads and no tokens. Numbers belong to the metrics.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

from schemas.settings import setting

# These log every rebalance step, request or timer at INFO; the pipeline logs the events that matter itself.
_VERBOSE_LOGGERS = ("aiohttp.access", "aiokafka", "asyncio", "clickhouse_connect", "faust", "mode", "urllib3")


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


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Write the log of this process to *stream*, by default standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET if settings.level == "DEBUG" else logging.WARNING)


def silence_clients() -> None:
    """Drop the log of Kafka's and ClickHouse's clients: a one-shot command reports the outcome as its own message."""
    for name in ("aiokafka", "clickhouse_connect"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
