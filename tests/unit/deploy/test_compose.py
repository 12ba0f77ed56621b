"""The compose file and the image: valid, with known settings and commands, and reachable from this machine alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]  # it publishes no types
from click import Group
from click.testing import CliRunner

from deploy.cli import main
from deploy.console.settings import ConsoleSettings
from deploy.docker.health import endpoint, host_to_connect
from deploy.docker.prepare import PrepareSettings
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.embedded.kafka import VERSION, Broker
from deploy.logging import LogSettings
from deploy.operate import servers
from deploy.settings import LocalSettings
from gateway.settings import GatewaySettings
from gateway.shutdown import LIMIT_SECONDS
from processors.settings import WORKERS, WorkerSettings
from schemas.settings import declarations, load
from tests.support.containers import (
    COMPOSE_FILE,
    ROOT,
    compose,
    image_environment,
    instructions,
    service_command,
    services,
    variables,
    without_files,
)
from tests.support.services import CLICKHOUSE_IMAGE

SETTINGS: dict[str, type[Any]] = {
    "init": PrepareSettings,
    "gateway": GatewaySettings,
    **dict.fromkeys(WORKERS, WorkerSettings),
}
METRICS = {"prometheus", "grafana"}
"""Services of the profile `metrics`."""
OTHERS = {"kafka", "clickhouse", "passwords", "sql", "token", "console", "audit", *METRICS}
KAFKA_ADDRESSES = {
    "advertised.listeners",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
}


def test_compose_file_matches_the_specification() -> None:
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE)])

    assert done.exit_code == 0, done.output
    assert set(services()) == {*SETTINGS, *OTHERS}


@pytest.mark.parametrize("service", SETTINGS)
def test_service_loads_its_environment_and_reads_every_variable(service: str) -> None:
    own = {name: value for name, value in services()[service]["environment"].items() if value}
    known = {setting.variable for cls in (SETTINGS[service], LogSettings) for setting in declarations(cls)}

    settings = load(SETTINGS[service], image_environment() | without_files(services()[service]["environment"]))

    assert {name.removesuffix("_PASSWORD_FILE") + "_PASSWORD" * name.endswith("_FILE") for name in own} <= known
    listeners = services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{settings.kafka.bootstrap_servers}," in listeners


@pytest.mark.parametrize("service", ["gateway", "console", "audit", *WORKERS])
def test_command_of_a_service_exists(service: str) -> None:
    program, *arguments = service_command(service)
    assert program == "sequence"
    assert isinstance(main, Group)

    name, command, rest = main.resolve_command(main.make_context("sequence", arguments), arguments)

    assert command is not None
    command.make_context(name, rest)


def test_interpolated_variables_have_the_defaults_of_the_settings() -> None:
    declared = {
        setting.variable: str(setting.default)
        for cls in (*SETTINGS.values(), ConsoleSettings, LocalSettings, EmbeddedClickHouseSettings)
        for setting in declarations(cls)
    }
    generated = {"SEQUENCE_CLICKHOUSE_PASSWORD", "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD"}
    # The local stack has fewer: one machine needs no 12 workers of a kind.
    own = {"SEQUENCE_PARTITIONS": "12"}

    assert variables().items() <= (declared | own).items()
    assert {name for name, default in variables().items() if not default} == generated


def test_number_of_partitions_of_an_existing_deployment_can_be_set() -> None:
    """Before it was 12, it was the default: its topics cannot be changed."""
    environment = services({"SEQUENCE_PARTITIONS": "4"})["init"]["environment"]

    assert load(PrepareSettings, without_files(environment)).topics.partitions == 4


def test_ports_are_published_on_loopback_and_shown_to_the_user() -> None:
    changes = {
        "GATEWAY_PORT": "18080",
        "CONSOLE_PORT": "18090",
        "LOCAL_KAFKA_PORT": "19999",
        "LOCAL_CLICKHOUSE_PORT": "18123",
    }
    found = services({f"SEQUENCE_{name}": value for name, value in changes.items()})
    shown = load(PrepareSettings, without_files(found["init"]["environment"]))

    assert {name: service["ports"] for name, service in found.items() if "ports" in service} == {
        "kafka": ["127.0.0.1:19999:9092"],
        "clickhouse": ["127.0.0.1:18123:8123"],
        "gateway": ["127.0.0.1:18080:8080"],
        "console": ["127.0.0.1:18090:8090"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert found["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(",OUTSIDE://127.0.0.1:19999")
    assert found["gateway"]["environment"]["SEQUENCE_GATEWAY_PORT"] == "8080"
    assert shown.gateway.port == 18080


def test_services_start_after_init_and_restart() -> None:
    found = services()

    assert set(found["init"]["depends_on"]) == {"kafka", "clickhouse"}
    assert all("test" in found[server]["healthcheck"] for server in found["init"]["depends_on"])
    for name in ("gateway", "console", "audit", *WORKERS):
        assert found[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}
        assert found[name]["restart"] == "unless-stopped"
    grace_seconds = int(found["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace_seconds > LIMIT_SECONDS


def test_data_is_in_volumes_and_each_worker_replica_has_its_own() -> None:
    found = services()
    servers = ("kafka", "clickhouse", "init", *METRICS)
    volumes = {name: found[name]["volumes"][0].split(":") for name in servers}

    assert {volume for volume, _ in volumes.values()} | {"writer", "analyst", "users"} == set(compose()["volumes"])
    assert volumes["kafka"][1] == found["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert volumes["init"][1] == found["init"]["environment"]["SEQUENCE_STATE_DIR"]
    for worker in WORKERS:
        (volume,) = [mount for mount in found[worker]["volumes"] if not mount.endswith(":ro")]
        assert ":" not in volume, "replicas share a named volume"
        assert load(WorkerSettings, without_files(found[worker]["environment"])).directory.startswith(f"{volume}/")


def test_containers_run_without_privileges() -> None:
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert name in {"kafka", "clickhouse"} or service["read_only"] is True
    # Kubernetes accepts only a number as a user that is not root.
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1])


def test_images_are_pinned() -> None:
    found = services()
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")

    assert found["kafka"]["image"] == f"apache/kafka:{VERSION}"
    assert found["clickhouse"]["image"].startswith(f"{CLICKHOUSE_IMAGE}.")
    assert re.fullmatch(r"\d+(\.\d+){3}", found["clickhouse"]["image"].rpartition(":")[2])
    assert instructions("FROM") == [f"python:{python}-bookworm AS build", f"python:{python}-slim-bookworm"]


def test_kafka_is_configured_as_the_embedded_broker_is(tmp_path: Path) -> None:
    environment = services()["kafka"]["environment"]
    configured = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }
    embedded = Broker(tmp_path, 9092, tmp_path).properties(controller_port=29093)

    assert {name: configured[name] for name in configured if name not in KAFKA_ADDRESSES} == {
        name: embedded[name] for name in embedded if name not in KAFKA_ADDRESSES
    }


@pytest.mark.parametrize(
    ("listens", "connects"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("[::]", "::1"), ("", "127.0.0.1"), ("10.1.2.3", "10.1.2.3")],  # noqa: S104  # none is bound
)
def test_health_check_connects_to_loopback_when_the_gateway_listens_on_every_address(
    listens: str, connects: str
) -> None:
    assert host_to_connect(listens) == connects


@pytest.mark.parametrize("worker", WORKERS)
def test_health_check_of_a_worker_asks_the_port_that_it_exposes(worker: str) -> None:
    service = services()[worker]
    at = endpoint("worker", image_environment() | without_files(service["environment"]))

    assert service["healthcheck"]["test"] == ["CMD", "python", "-m", "deploy.docker.health", "worker"]
    assert (at.host, [str(at.port)]) == ("127.0.0.1", service["expose"])


def test_console_reads_as_the_analyst_and_is_asked_at_its_own_port() -> None:
    service = services()["console"]
    environ = image_environment() | without_files(service["environment"])
    known = {setting.variable for setting in declarations(ConsoleSettings)}
    console = load(ConsoleSettings, environ)
    at = endpoint("console", environ)

    assert {name for name in service["environment"] if name.startswith("SEQUENCE_CONSOLE_")} <= known
    assert service["healthcheck"]["test"] == ["CMD", "python", "-m", "deploy.docker.health", "console"]
    assert (at.host, at.port) == ("127.0.0.1", console.port)
    assert service["volumes"] == ["analyst:/etc/sequence/analyst:ro"]
    found = servers.find_reading(environ | {"SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "secret"})
    assert (found.is_local, found.clickhouse.username, found.kafka.bootstrap_servers) == (
        False,
        "analyst",
        "kafka:19092",
    )
