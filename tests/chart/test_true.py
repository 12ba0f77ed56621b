"""What the chart says of our processes is true of them: variables, commands, ports, paths, times, topics."""

from __future__ import annotations

import re
from typing import Any

import pytest
from click import Group

from deploy.cli import main
from deploy.console import app as console_app
from deploy.console.settings import ConsoleSettings
from deploy.known_settings import AllSettings, unknown_variables
from deploy.logging import LogSettings
from deploy.operate import servers
from deploy.operate.status_settings import StatusSettings
from gateway.http import health as gateway_health
from gateway.http.routes import routes
from gateway.settings import GatewaySettings
from gateway.shutdown import LIMIT_SECONDS
from processors.engine.app import STOP_SECONDS, EngineSettings, faust_app
from processors.engine.status_server import StatusServer
from processors.settings import WORKERS, AnalystSettings, WorkerSettings
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, declarations, load
from schemas.topics import Topics
from tests.chart.rendering import CHART, SETS, Pod, of_kind, pod, pods
from tests.support.containers import image_environment, instructions
from tests.support.documents import page

EVERY_SET = pytest.mark.parametrize("values", SETS)
READS: dict[str, tuple[type[Any], ...]] = {
    "gateway": (GatewaySettings,),
    **dict.fromkeys(WORKERS, (WorkerSettings,)),
    "console": (ConsoleSettings, KafkaSettings, ClickHouseSettings, AnalystSettings, StatusSettings),
    "audit": (KafkaSettings, ClickHouseSettings),
    "topics": (KafkaSettings, TopicSettings),
    "tables": (ClickHouseSettings, AnalystSettings),
}
EVERY_PROCESS = {"SEQUENCE_ITEMS_RETENTION_DAYS", "SEQUENCE_DEDUPE_WINDOW_DAYS", "SEQUENCE_KAFKA_MIN_FREE_BYTES"}
"""Further settings that `settings` gives to every process."""
PORTS = {"gateway": 8080, **dict.fromkeys(WORKERS, 9464), "console": 8090, "audit": 9464}


def environment(pod: Pod) -> dict[str, str]:
    """Return the variables of *pod*, with a password in place of each file of one."""
    merged = image_environment() | pod.environment
    return {
        name.removesuffix("_FILE") if name.endswith("_PASSWORD_FILE") else name: value for name, value in merged.items()
    }


def secret_files(pod: Pod) -> set[str]:
    """Return the files that the projected volume of *pod* has."""
    volumes = [volume["projected"] for volume in pod.spec["volumes"] if "projected" in volume]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod.container["volumeMounts"]}
    return {
        f"{mounts['secrets']}/{item['path']}"
        for volume in volumes
        for source in volume["sources"]
        for item in source["secret"]["items"]
    }


@EVERY_SET
def test_every_variable_is_a_setting_that_the_process_reads(values: str) -> None:
    for each in pods(values):
        known = {declared.variable for cls in (*READS[each.component], LogSettings) for declared in declarations(cls)}
        ours = {name for name in each.environment if name.startswith("SEQUENCE_")}
        assert list(unknown_variables(each.environment)) == []
        assert {name.removesuffix("_FILE") if "PASSWORD" in name else name for name in ours} <= known | EVERY_PROCESS
        assert set(each.environment) - ours == {"HOME", "USER"}


@EVERY_SET
def test_every_process_loads_its_settings(values: str) -> None:
    for each in pods(values):
        for cls in (*READS[each.component], LogSettings):
            load(cls, environment(each))


@EVERY_SET
def test_every_file_that_a_variable_names_is_mounted(values: str) -> None:
    for each in pods(values):
        named = {value for name, value in each.environment.items() if name.endswith("_FILE")}
        certificates = {value for value in named if value.startswith("/etc/sequence/tls/")}
        assert named - certificates == secret_files(each), each
        if certificates:
            assert {"name": "tls", "mountPath": "/etc/sequence/tls", "readOnly": True} in each.container["volumeMounts"]


@EVERY_SET
def test_every_command_exists(values: str) -> None:
    assert instructions("ENTRYPOINT") == ['["sequence"]']
    for each in pods(values):
        command: Any = main
        arguments = each.container["args"]
        while isinstance(command, Group):
            _, command, arguments = command.resolve_command(command.make_context("sequence", arguments[:]), arguments)
        command.make_context("sequence", arguments)
        assert "command" not in each.container


def test_kubernetes_sets_no_variable_that_looks_like_a_setting() -> None:
    """Service links would: `SEQUENCE_GATEWAY_PORT=tcp://10.0.0.1:80` of a Service named `sequence-gateway`."""
    for values in SETS:
        services = {service["metadata"]["name"] for service in of_kind("Service", values)}
        linked = {f"{name.upper().replace('-', '_')}_PORT" for name in services}
        assert "SEQUENCE_GATEWAY_PORT" in linked & {declared.variable for declared in declarations(AllSettings)}
        assert all(each.spec["enableServiceLinks"] is False for each in pods(values))


@EVERY_SET
def test_every_port_is_the_one_that_the_process_listens_on(values: str) -> None:
    for each in pods(values):
        ports = [port["containerPort"] for port in each.container.get("ports", [])]
        assert ports == ([] if each.kind == "Job" else [PORTS[each.component]])
    assert load(GatewaySettings, environment(pod(values, "gateway"))).port == PORTS["gateway"]
    assert load(ConsoleSettings, environment(pod(values, "console"))).port == PORTS["console"]
    assert pod(values, "audit").container["args"][-2:] == ["--metrics-port", str(PORTS["audit"])]
    for kind in WORKERS:
        worker = load(WorkerSettings, environment(pod(values, kind)))
        assert (worker.metrics_port, worker.metrics_host) == (PORTS[kind], "0.0.0.0")  # noqa: S104  # compared with


def paths() -> dict[str, set[str]]:
    """Return the paths that each process answers, by component."""
    nothing: Any = type("Nothing", (), {"__getattr__": lambda *_: print, "__bool__": lambda _: False})()
    gateway = {route.path for route in routes(nothing, nothing, nothing, nothing)}
    console = {route.path for route in console_app._health(nothing, nothing)}
    worker = set(StatusServer(nothing, nothing, nothing)._handlers)
    return {"gateway": gateway, "console": console, **dict.fromkeys(WORKERS, worker), "audit": {"/metrics"}}


@EVERY_SET
def test_every_probe_asks_a_path_that_the_process_answers(values: str) -> None:
    answered = paths()
    for each in pods(values):
        probes = [probe for name, probe in each.container.items() if name.endswith("Probe")]
        assert {probe["httpGet"]["path"] for probe in probes} <= answered.get(each.component, set())
        assert len(probes) == {"Job": 0}.get(each.kind, 2 if each.component == "audit" else 3)
        tls = environment(each).get("SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE") is not None
        assert {probe["httpGet"].get("scheme", "HTTP") for probe in probes} <= {"HTTPS" if tls else "HTTP"}
    assert "/metrics" in set.intersection(*answered.values())


@EVERY_SET
def test_kubernetes_waits_longer_than_a_shutdown_takes(values: str) -> None:
    for each in pods(values):
        assert each.spec["terminationGracePeriodSeconds"] >= max(LIMIT_SECONDS, STOP_SECONDS) + 5


@EVERY_SET
def test_shutdown_delay_covers_the_failures_of_the_readiness_probe(values: str) -> None:
    gateway = pod(values, "gateway")
    probe = gateway.container["readinessProbe"]
    delay = load(GatewaySettings, environment(gateway)).shutdown_delay_seconds

    assert probe["periodSeconds"] * probe["failureThreshold"] < delay
    assert probe["timeoutSeconds"] > gateway_health._CHECK_TIMEOUT_SECONDS


@EVERY_SET
def test_startup_probe_waits_longer_than_the_gateway_waits_for_kafka(values: str) -> None:
    gateway = pod(values, "gateway")
    probe = gateway.container["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] > load(GatewaySettings, {}).start_timeout_seconds


@EVERY_SET
def test_console_reads_as_the_analyst_and_asks_the_service_of_the_gateways(values: str) -> None:
    environ = environment(pod(values, "console"))
    files = [f"SEQUENCE_CLICKHOUSE_{name}_FILE" for name in ("CA", "CERT", "KEY")]
    found = servers.find_reading(environ | dict.fromkeys(files, ""))
    [service] = [each for each in of_kind("Service", values) if each["metadata"]["name"] == "sequence-gateway"]
    tls = "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE" in pod(values, "gateway").environment

    assert (found.is_local, found.clickhouse.username) == (False, "analyst")
    scheme, port = "https" if tls else "http", service["spec"]["ports"][0]["port"]
    assert environ["SEQUENCE_STATUS_GATEWAYS"] == f"{scheme}://sequence-gateway:{port}"


@EVERY_SET
def test_keda_counts_the_lag_of_the_workers_own_group_and_topic(values: str) -> None:
    for scaled in of_kind("ScaledObject", values):
        kind = scaled["spec"]["scaleTargetRef"]["name"].removeprefix("sequence-")
        kafka = load(KafkaSettings, environment(pod(values, kind)))
        topics = Topics(kafka.topic_prefix)
        metadata = scaled["spec"]["triggers"][0]["metadata"]
        app = faust_app(EngineSettings(kind, KafkaSettings(topic_prefix=kafka.topic_prefix), CHART, 60.0, 10.0))

        assert scaled["spec"]["triggers"][0]["type"] == "apache-kafka"
        assert metadata["consumerGroup"] == app.conf.id
        assert (
            metadata["topic"]
            == {
                "dedupe": topics.items,
                "persons": topics.identifies,
                "sink": topics.events,
            }[kind]
        )
        assert metadata["bootstrapServers"] == kafka.bootstrap_servers
        partitions = int(pod(values, "topics").environment["SEQUENCE_PARTITIONS"])
        assert scaled["spec"]["maxReplicaCount"] <= partitions


def test_image_is_that_of_this_version() -> None:
    chart = (CHART / "Chart.yaml").read_text()
    label = re.search(r'image\.version="([^"]+)"', instructions("LABEL")[-1])
    assert label is not None

    assert f"\nversion: {label[1]}\nappVersion: {label[1]}\n" in chart
    assert {each.container["image"] for each in pods("minimal")} == {f"sequence-events:{label[1]}"}


def test_notes_name_commands_and_resources_that_exist() -> None:
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    commands = page("docs/operations.md").names("Commands")

    assert {f"sequence {words}" for words in re.findall(r"-- sequence (\w+(?: create)?)", notes)} <= set(commands)
    assert re.findall(r"deploy/\{\{ \$fullname \}\}-(\w+)", notes) == ["gateway", "gateway", "audit"]
