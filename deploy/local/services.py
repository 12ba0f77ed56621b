"""Services of the local stack: command, environment, address and readiness probe of each.

They are the processes of a deployment. The same variables tell them where Kafka and ClickHouse are. Each gets only the
secrets that it needs, through its environment, which other users cannot read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.console.settings import ConsoleSettings
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.embedded.kafka import Broker, cluster_id_of, jars_directory, new_cluster_id
from deploy.embedded.kafka_causes import kafka_cause
from deploy.failure import Failure
from deploy.local.ports import HOST, Port, free_ports
from deploy.local.probes import BrokerProbe, GatewayProbe, HttpProbe, KafkaProbe
from deploy.local.supervisor import Service
from deploy.logging import LogSettings
from deploy.operate.backup_settings import BackupSettings
from deploy.operate.probe_settings import ProbeSettings
from deploy.operate.replay_settings import ReplaySettings
from deploy.settings import LocalSettings, brokers, cache_directory, local_kafka, state_directory, with_replicas
from gateway.settings import GatewaySettings
from processors.settings import WORKERS, AnalystSettings, WorkerSettings
from schemas import secret_variables
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, declarations, environment, load


@dataclass(frozen=True, slots=True)
class StackSettings:
    """Settings of every service, so that all errors are reported before the first one starts."""

    local: LocalSettings = field(default_factory=LocalSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    embedded_clickhouse: EmbeddedClickHouseSettings = field(default_factory=EmbeddedClickHouseSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)


_SECRET_VARIABLES = frozenset(
    declared.variable
    for settings in (StackSettings, AnalystSettings, BackupSettings, ProbeSettings, ReplaySettings)
    for declared in declarations(settings)
    if declared.secret or declared.variable == "SEQUENCE_MAVEN_REPOSITORY"
)
"""Variables that no service inherits. The URL of the Maven repository can have a password."""


# Without `-P`, `-m` would import the packages of the directory in which `sequence up` was started.
_PYTHON = (sys.executable, "-P")


_RECOVERY_SECONDS = 3600.0
"""How long a worker may recover its local state at the start. Its watchdog ends one that makes no progress."""


class Services:
    """The services that *environ* configures. It has the passwords of both users of ClickHouse."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        environ = with_replicas(environ)
        self.settings = settings = load(StackSettings, environ)
        self.state = state_directory(settings.local)
        self.cache = cache_directory(settings.local, environ)
        self._clickhouse_url = f"http://{HOST}:{settings.embedded_clickhouse.port}"
        self._environ = {**without_secrets(environ), **self._addresses(), "PYTHONUNBUFFERED": "1", "TZ": "UTC"}
        self._writer = {"SEQUENCE_CLICKHOUSE_PASSWORD": settings.embedded_clickhouse.password}
        self.kafka_settings = load(KafkaSettings, self._environ)
        self.clickhouse_settings = load(ClickHouseSettings, {**self._environ, **self._writer})
        self.brokers = self._make_brokers(json_log=load(LogSettings, environ).format == "json")
        self._metrics_ports = self._choose_metrics_ports()
        self.console_url = f"http://{HOST}:{settings.console.port or free_ports(1)[0]}"

    def _make_brokers(self, *, json_log: bool) -> list[Broker]:
        local, jars = self.settings.local, jars_directory(self.cache)
        if (count := brokers(local)) == 1:
            return [Broker(self.state / "kafka", local.kafka_port, jars, local.kafka_fsync, json_log=json_log)]
        # The same until the stack stops: a broker that is restarted meets the others.
        voters = dict(enumerate(free_ports(count), 1))
        return [
            Broker(
                self.state / f"kafka-{node}",
                local.kafka_port + node - 1,
                jars,
                local.kafka_fsync,
                json_log=json_log,
                node=node,
                voters=voters,
            )
            for node in voters
        ]

    def _choose_metrics_ports(self) -> dict[str, int]:
        """Return the port of each worker, by name: consecutive ones, or free ones if the setting is 0."""
        local = self.settings.local
        names = [f"{kind}-{number}" for kind in WORKERS for number in range(1, local.workers + 1)]
        first = local.metrics_port
        ports = range(first, first + len(names)) if first else free_ports(len(names))
        return dict(zip(names, ports, strict=True))

    def _addresses(self) -> dict[str, str]:
        kafka = KafkaSettings(
            bootstrap_servers=local_kafka(self.settings.local),
            topic_prefix=self.settings.gateway.kafka.topic_prefix,
        )
        return {
            **environment(kafka),
            "SEQUENCE_CLICKHOUSE_URL": self._clickhouse_url,
            "SEQUENCE_CLICKHOUSE_USERNAME": "default",
            "SEQUENCE_CLICKHOUSE_CLUSTER": "",
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_GATEWAY_HOST": HOST,
        }

    def ports(self) -> list[Port]:
        """Return every port that a service listens on."""
        settings = self.settings
        gateways = [
            Port(settings.gateway.port + number, f"gateway-{number + 1}", "SEQUENCE_GATEWAY_PORT")
            for number in range(settings.local.gateways)
        ]
        return [
            *(Port(each.port, each.directory.name, "SEQUENCE_LOCAL_KAFKA_PORT") for each in self.brokers),
            Port(settings.embedded_clickhouse.port, "clickhouse", "SEQUENCE_LOCAL_CLICKHOUSE_PORT"),
            *gateways,
            *(Port(port, name, "SEQUENCE_LOCAL_METRICS_PORT") for name, port in self._metrics_ports.items()),
            Port(int(self.console_url.rpartition(":")[2]), "console", "SEQUENCE_CONSOLE_PORT"),
        ]

    def kafka(self) -> list[Service]:
        """Return the brokers. One of several that has lost its data is formatted before its start."""
        return [self._broker(each) for each in self.brokers]

    def format_brokers(self) -> None:
        """Format the brokers that have no data for the cluster of the others; `ServiceError` if Kafka's tool fails."""
        cluster_id = self._cluster_id() or new_cluster_id()
        for broker in self.brokers:
            broker.format(self._environ, cluster_id)

    def _cluster_id(self) -> str:
        return next(filter(None, (cluster_id_of(broker.directory) for broker in self.brokers)), "")

    def _broker(self, broker: Broker) -> Service:
        address = f"{HOST}:{broker.port}"
        return Service(
            broker.directory.name,
            broker.command,
            {**self._environ, **broker.environ()},
            BrokerProbe(address, self.format_brokers) if broker.voters else KafkaProbe(address),
            address,
            broker.directory,
            find_cause=kafka_cause,
        )

    def clickhouse(self) -> Service:
        """Return the embedded ClickHouse server."""
        command = [*_PYTHON, "-m", "deploy.embedded.clickhouse"]
        url = self._clickhouse_url
        passwords = {
            "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": self.settings.embedded_clickhouse.password,
            "SEQUENCE_LOCAL_ANALYST_PASSWORD": self.settings.embedded_clickhouse.analyst_password,
        }
        environ = {**self._environ, **passwords}
        return Service("clickhouse", lambda: command, environ, HttpProbe(f"{url}/ping"), url)

    def gateways(self) -> list[Service]:
        """Return the gateways, on consecutive ports."""
        return [self._gateway(number) for number in range(self.settings.local.gateways)]

    def workers(self) -> list[Service]:
        """Return the workers of each kind."""
        numbers = range(1, self.settings.local.workers + 1)
        return [self._worker(kind, number) for kind in WORKERS for number in numbers]

    def console(self) -> Service:
        """Return the console. It finds ClickHouse and the password of `analyst` by the state directory.

        However it ends, it is started again, and the stack runs on.
        """
        environ = {name: value for name, value in self._environ.items() if not name.startswith("SEQUENCE_CLICKHOUSE_")}
        own = {
            "SEQUENCE_CLICKHOUSE_DATABASE": self.clickhouse_settings.database,
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(self.settings.embedded_clickhouse.port),
            "SEQUENCE_CONSOLE_HOST": HOST,
            "SEQUENCE_CONSOLE_PORT": self.console_url.rpartition(":")[2],
            "SEQUENCE_CONSOLE_TEST_SERVICE": "true",
        }
        return Service(
            "console",
            lambda: [*_PYTHON, "-m", "deploy.cli", "console"],
            {**environ, **own},
            HttpProbe(f"{self.console_url}/health/live"),
            f"{self.console_url}/",
            needs=self._needed_brokers,
            ready_timeout_seconds=30.0,
            is_waiting=lambda _: True,
            waiting_seconds=0.0,
        )

    @property
    def _needed_brokers(self) -> tuple[str, ...]:
        """The broker without which nothing can run. Of several none is."""
        return ("kafka",) if len(self.brokers) == 1 else ()

    def worker_directory(self, name: str) -> Path:
        """Return the directory of worker *name*'s local state."""
        return self.state / "workers" / name

    def _gateway(self, number: int) -> Service:
        port = self.settings.gateway.port + number
        url = f"{self.settings.gateway.scheme}://{HOST}:{port}"
        return Service(
            f"gateway-{number + 1}",
            lambda: [*_PYTHON, "-m", "deploy.cli", "gateway"],
            {"SEQUENCE_GATEWAY_SHUTDOWN_DELAY_SECONDS": "0", **self._environ, "SEQUENCE_GATEWAY_PORT": str(port)},
            GatewayProbe(url),
            url,
            needs=self._needed_brokers,
        )

    def _worker(self, kind: str, number: int) -> Service:
        name = f"{kind}-{number}"
        port = self._metrics_ports[name]
        url = f"http://{HOST}:{port}"
        own = {
            "SEQUENCE_WORKER_DIR": str(self.worker_directory(name)),
            "SEQUENCE_WORKER_METRICS_HOST": HOST,
            "SEQUENCE_WORKER_METRICS_PORT": str(port),
            **(self._writer if kind == "sink" else {}),
        }
        return Service(
            name,
            lambda: [*_PYTHON, "-m", "deploy.cli", "worker", kind],
            {**self._environ, **own},
            HttpProbe(f"{url}/health/ready"),
            url,
            needs=(*self._needed_brokers, "clickhouse") if kind == "sink" else self._needed_brokers,
            ready_timeout_seconds=_RECOVERY_SECONDS,
            is_waiting=is_loss_to_accept,
        )


def is_loss_to_accept(failure: Failure) -> bool:
    """Return whether a worker refuses to continue and advises a command that needs Kafka and ClickHouse to run."""
    return failure.exit_code == os.EX_CONFIG and "sequence positions" in failure.reason


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* without the secrets of any setting, and without the names of their files."""
    return {
        name: value
        for name, value in environ.items()
        if name.removesuffix(secret_variables.SUFFIX) not in _SECRET_VARIABLES
    }
