"""The compose file: of the specification's form, told nothing but known settings, open to this machine alone."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from check_jsonschema import main as check_jsonschema  # type: ignore[import-untyped]  # it publishes no types
from click.testing import CliRunner

from deploy.docker.prepare import PrepareSettings, published_clickhouse
from deploy.embedded.kafka import VERSION, Broker
from deploy.logging import LogSettings
from deploy.settings import LocalSettings
from gateway.settings import GatewaySettings
from processors.settings import WorkerSettings
from processors.workers import WORKERS
from schemas.settings import declarations, load
from tests.support.containers import COMPOSE_FILE, compose, image_environment, interpolated, services
from tests.support.services import CLICKHOUSE_IMAGE

OURS = ("init", "gateway", *WORKERS)
SETTINGS: dict[str, type[Any]] = {
    "init": PrepareSettings,
    "gateway": GatewaySettings,
    **dict.fromkeys(WORKERS, WorkerSettings),
}


def check(file: Path) -> str:
    """Return what is wrong with *file* by the compose specification; empty when nothing is."""
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.compose-spec", str(file)])
    return "" if done.exit_code == 0 else done.output


def known(service: str) -> set[str]:
    """Return the variables that the process of *service* reads."""
    return {setting.variable for cls in (SETTINGS[service], LogSettings) for setting in declarations(cls)}


def sequence_variables(environment: dict[str, str]) -> set[str]:
    return {name for name in environment if name.startswith("SEQUENCE_")}


def test_the_compose_file_is_of_the_specified_form() -> None:
    assert check(COMPOSE_FILE) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("condition: service_healthy", "condition: service_healty"),
        ("stop_grace_period:", "stop_grace:"),
        ("cap_drop: [ALL]", "cap_drop: ALL"),
        ("retries: 3", "retries: {}"),
    ],
)
def test_the_check_of_the_form_finds_a_mistake(tmp_path: Path, right: str, wrong: str) -> None:
    broken = tmp_path / "docker-compose.yml"
    text = COMPOSE_FILE.read_text()
    assert right in text
    broken.write_text(text.replace(right, wrong))

    assert check(broken) != ""


def test_the_services_are_the_pipeline_and_its_two_servers() -> None:
    assert set(services()) == {"kafka", "clickhouse", *OURS}


@pytest.mark.parametrize("service", OURS)
def test_a_service_is_given_only_settings_it_reads(service: str) -> None:
    assert sequence_variables(services()[service]["environment"]) <= known(service)


@pytest.mark.parametrize("service", OURS)
def test_a_service_can_load_what_it_is_given(service: str) -> None:
    environ = image_environment() | services()[service]["environment"]

    for cls in (SETTINGS[service], LogSettings):
        load(cls, environ)


def test_every_value_is_text_as_a_process_gets_it() -> None:
    values = [value for service in services().values() for value in service["environment"].values()]

    assert [value for value in values if not isinstance(value, str)] == []


def test_variables_published_clickhouse_are_settings_with_their_own_defaults() -> None:
    declared = {
        setting.variable: str(setting.default)
        for cls in (PrepareSettings, GatewaySettings, WorkerSettings, LocalSettings)
        for setting in declarations(cls)
    }
    passwords = {name for name in interpolated() if name.endswith("PASSWORD")}

    assert passwords == {"SEQUENCE_CLICKHOUSE_PASSWORD", "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD"}
    assert {name: default for name, default in interpolated().items() if name not in passwords}.items() <= (
        declared.items()
    )


def test_only_what_talks_to_clickhouse_is_given_its_password() -> None:
    given = {name for name, service in services().items() if "SEQUENCE_CLICKHOUSE_PASSWORD" in service["environment"]}

    assert given == {"init", "sink"}


def test_a_password_published_clickhouse_reaches_server_and_clients() -> None:
    found = services({"SEQUENCE_CLICKHOUSE_PASSWORD": "s3cret"})

    assert found["clickhouse"]["environment"]["CLICKHOUSE_PASSWORD"] == "s3cret"
    for client in ("init", "sink"):
        environment = found[client]["environment"]
        assert environment["SEQUENCE_CLICKHOUSE_PASSWORD"] == "s3cret"
        assert environment["SEQUENCE_CLICKHOUSE_USERNAME"] == found["clickhouse"]["environment"]["CLICKHOUSE_USER"]


@pytest.mark.parametrize("service", OURS)
def test_a_service_is_pointed_at_listeners_that_exist(service: str) -> None:
    found = services()
    settings = load(SETTINGS[service], found[service]["environment"])
    listeners = found["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]

    assert f"INSIDE://{settings.kafka.bootstrap_servers}," in listeners
    if "clickhouse" in {field.name for field in fields(settings)} and service in {"init", "sink"}:
        assert settings.clickhouse.url == "http://clickhouse:8123"


def test_the_services_start_in_order() -> None:
    found = services()

    assert {name: found["init"]["depends_on"][name]["condition"] for name in found["init"]["depends_on"]} == {
        "kafka": "service_healthy",
        "clickhouse": "service_healthy",
    }
    for name in ("gateway", *WORKERS):
        assert found[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}


def test_the_servers_have_health_checks() -> None:
    found = services()

    for name in ("kafka", "clickhouse"):
        assert found[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert "healthcheck" not in found["gateway"]  # the image's own
    for name in ("init", *WORKERS):
        assert found[name]["healthcheck"] == {"disable": True}


def test_what_should_run_is_started_again_and_the_preparation_is_not() -> None:
    restarts = {name: service.get("restart", "no") for name, service in services().items()}

    assert restarts.pop("init") == "no"
    assert set(restarts.values()) == {"unless-stopped"}


def test_ports_are_open_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}

    assert published == {
        "kafka": ["127.0.0.1:9092:9092"],
        "clickhouse": ["127.0.0.1:8123:8123"],
        "gateway": ["127.0.0.1:8080:8080"],
    }


def test_a_port_that_is_moved_moves_with_what_is_said_of_it() -> None:
    found = services(
        {
            "SEQUENCE_GATEWAY_PORT": "18080",
            "SEQUENCE_LOCAL_KAFKA_PORT": "19999",
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "18123",
        }
    )
    told = load(PrepareSettings, found["init"]["environment"])

    assert found["gateway"]["ports"] == ["127.0.0.1:18080:8080"]
    assert found["gateway"]["environment"]["SEQUENCE_GATEWAY_PORT"] == "8080"
    assert found["clickhouse"]["ports"] == [f"127.0.0.1:{told.embedded_clickhouse.port}:8123"]
    assert told.gateway.port == 18080
    assert found["kafka"]["ports"] == ["127.0.0.1:19999:9092"]
    assert found["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(",OUTSIDE://127.0.0.1:19999")


def test_the_lines_to_paste_reach_clickhouse_as_the_analyst_by_its_published_port() -> None:
    outside = {"SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "a:b/c", "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "18123"}
    told = load(PrepareSettings, services(outside)["init"]["environment"])

    assert published_clickhouse(told).url == "http://analyst:a%3Ab%2Fc@127.0.0.1:18123"


def test_state_is_kept_in_volumes() -> None:
    found = services()
    named = {name: found[name]["volumes"][0].split(":") for name in ("kafka", "clickhouse", "init")}

    assert {volume for volume, _ in named.values()} == set(compose()["volumes"])
    assert named["kafka"][1] == found["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert named["init"][1] == found["init"]["environment"]["SEQUENCE_STATE_DIR"]


@pytest.mark.parametrize("worker", WORKERS)
def test_each_replica_of_a_worker_has_a_directory_of_its_own(worker: str) -> None:
    (volume,) = services()[worker]["volumes"]

    assert ":" not in volume, "a named volume is shared by the replicas"
    assert load(WorkerSettings, services()[worker]["environment"]).directory.startswith(f"{volume}/")


@pytest.mark.parametrize("service", OURS)
def test_our_services_have_no_privileges_and_cannot_write_to_the_image(service: str) -> None:
    found = services()[service]

    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in found  # the image's own, which is not root


@pytest.mark.parametrize("server", ["kafka", "clickhouse"])
def test_the_servers_cannot_gain_privileges(server: str) -> None:
    assert services()[server]["cap_drop"] == ["ALL"]
    assert services()[server]["security_opt"] == ["no-new-privileges:true"]


def test_a_service_gets_the_time_to_stop_that_it_takes() -> None:
    seconds = int(services()["gateway"]["stop_grace_period"].removesuffix("s"))

    assert seconds > load(GatewaySettings, {}).drain_timeout_seconds


def test_images_are_of_one_exact_version() -> None:
    found = services()

    assert found["kafka"]["image"] == f"apache/kafka:{VERSION}"
    assert found["clickhouse"]["image"].startswith(f"{CLICKHOUSE_IMAGE}.")
    assert re.fullmatch(r"\d+(\.\d+){3}", found["clickhouse"]["image"].rpartition(":")[2])


def test_kafka_is_set_up_as_the_embedded_broker_is(tmp_path: Path) -> None:
    addresses = {
        "advertised.listeners",
        "controller.quorum.voters",
        "inter.broker.listener.name",
        "listener.security.protocol.map",
        "listeners",
        "log.dirs",
    }
    environment = services()["kafka"]["environment"]
    inside = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }
    embedded = Broker(tmp_path, 9092, tmp_path).properties(controller_port=29093)

    assert {name: inside[name] for name in inside if name not in addresses} == {
        name: embedded[name] for name in embedded if name not in addresses
    }
