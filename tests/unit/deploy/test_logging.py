"""One line for each event of a process's life."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from deploy.logging import LogSettings, configure
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


def test_json_lines_carry_what_was_passed_beside_the_message() -> None:
    first, second = [json.loads(line) for line in lines(LogSettings(format="json"))]

    assert first.items() >= {"level": "info", "message": "partition 3 assigned", "topic": "items"}.items()
    assert first["time"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


def test_text_lines_say_when_how_bad_and_what() -> None:
    first = lines(LogSettings())[0]

    assert first.endswith("Z INFO sequence.test: partition 3 assigned")


def test_a_client_librarys_progress_is_left_out() -> None:
    assert not any("metadata refreshed" in line for line in lines(LogSettings(format="json")))


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_LOG_LEVEL"):
        load(LogSettings, {"SEQUENCE_LOG_LEVEL": "LOUD"})
