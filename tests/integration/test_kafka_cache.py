"""Java's AOT cache of Kafka's classes: a broker uses it, and a damaged one changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from deploy.embedded import kafka_jars
from deploy.embedded.kafka import Broker, aot_cache, is_formatted
from deploy.embedded.kafka_training import is_needed
from tests.support.services import embedded_kafka, fetched_jars, free_port, running

pytestmark = pytest.mark.services


def test_broker_reads_its_classes_from_the_cache_and_logs_nothing_about_it(tmp_path: Path) -> None:
    cache = aot_cache(fetched_jars())
    with running(embedded_kafka(tmp_path)) as service:
        mapped = {Path(file.path).name for file in psutil.Process(service.pid).memory_maps()}

    assert cache.name in mapped
    assert "aot" not in (tmp_path / "log").read_text().lower()


@pytest.mark.parametrize("damage", ["overwritten", "truncated", "empty"])
def test_damaged_cache_is_not_used_and_is_made_again(tmp_path: Path, damage: str) -> None:
    broker = Broker(tmp_path / "kafka", free_port(), tmp_path / "jars")
    broker.jars_directory.mkdir()
    for jar in kafka_jars.listed():
        (broker.jars_directory / jar.file_name).symlink_to(fetched_jars() / jar.file_name)
    content = bytearray(aot_cache(fetched_jars()).read_bytes())
    aot_cache(broker.jars_directory).write_bytes(content)
    broker.configure(controller_port=free_port())
    assert not is_needed(broker)

    half = len(content) // 2
    if damage == "overwritten":
        content[half : half + 2_000_000] = os.urandom(2_000_000)
    else:
        del content[half if damage == "truncated" else 0 :]
    aot_cache(broker.jars_directory).write_bytes(content)
    broker.format(os.environ)

    assert is_formatted(broker.directory)
    assert is_needed(broker)
