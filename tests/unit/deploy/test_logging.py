"""Log lines as text and as JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from deploy.logging import LogSettings, configure, silence_clients
from schemas.settings import SettingsError, load

log = logging.getLogger("sequence.test")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


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
