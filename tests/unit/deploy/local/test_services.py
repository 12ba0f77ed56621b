"""Each service of the local stack gets the secrets that it needs, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.failure import Cause, Failure
from deploy.local import passwords
from deploy.local import services as local_services
from deploy.local.services import Services, is_loss_to_accept, without_secrets
from deploy.settings import load_kafka, with_replicas
from schemas.settings import load

SECRETS = {
    "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": "writers-secret",
    "SEQUENCE_LOCAL_ANALYST_PASSWORD": "analysts-secret",
    "SEQUENCE_CLICKHOUSE_PASSWORD": "servers-secret",
    "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "servers-analysts-secret",
    "SEQUENCE_KAFKA_PASSWORD": "kafkas-secret",
    "SEQUENCE_PROBE_TOKEN": "probes-secret",
    "SEQUENCE_REPLAY_TOKEN": "replays-secret",
    "SEQUENCE_MAVEN_REPOSITORY": "https://ada:mavens-secret@maven.example",
}
NEEDED: dict[str, set[str]] = {
    "kafka": set(),
    "clickhouse": {"writers-secret", "analysts-secret"},
    "gateway-1": set(),
    "dedupe-1": set(),
    "persons-1": set(),
    "sink-1": {"writers-secret"},
    "console": set(),
}


@pytest.mark.parametrize("name", NEEDED)
def test_service_gets_only_the_secrets_that_it_needs(tmp_path: Path, name: str) -> None:
    services = Services({**SECRETS, "SEQUENCE_STATE_DIR": str(tmp_path), "PATH": "/usr/bin"})
    found = [*services.kafka(), services.clickhouse(), *services.gateways(), *services.workers(), services.console()]
    assert {service.name for service in found} == NEEDED.keys()

    (service,) = (service for service in found if service.name == name)

    assert service.environ["PATH"] == "/usr/bin"
    assert {value for value in service.environ.values() if "secret" in value} == NEEDED[name]


def test_names_of_secret_files_are_not_inherited() -> None:
    environ = {f"{name}_FILE": "/run/secrets/one" for name in SECRETS} | {"SEQUENCE_KAFKA_CA_FILE": "/ca.pem"}

    assert without_secrets(environ) == {"SEQUENCE_KAFKA_CA_FILE": "/ca.pem"}


def test_sink_logs_in_as_the_writer_of_the_embedded_server(tmp_path: Path) -> None:
    services = Services({**SECRETS, "SEQUENCE_STATE_DIR": str(tmp_path)})

    assert services.clickhouse_settings.username == "default"
    assert services.clickhouse_settings.password == "writers-secret"


def test_passwords_from_files_are_passed_on_as_values(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    environ = {"SEQUENCE_LOCAL_ANALYST_PASSWORD_FILE": str(tmp_path / "mine"), "PATH": "/usr/bin"}
    settings = load(EmbeddedClickHouseSettings, environ)

    complete = passwords.keep(tmp_path, settings, environ)

    kept = load(EmbeddedClickHouseSettings, complete)
    assert kept.analyst_password == "mine" == passwords.find(tmp_path, EmbeddedClickHouseSettings(), writer=False)
    assert kept.password == (tmp_path / passwords.WRITER_FILE).read_text().strip()
    assert kept.password == passwords.find(tmp_path, EmbeddedClickHouseSettings(), writer=True)
    assert complete["PATH"] == "/usr/bin"


@pytest.mark.parametrize(
    ("code", "reason", "waits"),
    [
        (78, "offsets 3 to 9 expired. Run `sequence positions accept --stage sink --partition 0`.", True),
        (78, "Topics missing: a. Create them with `sequence topics apply`.", False),
        (70, "offsets 3 to 9 expired. Run `sequence positions accept --stage sink --partition 0`.", False),
    ],
)
def test_worker_that_refuses_over_a_loss_waits_for_the_command(code: int, reason: str, *, waits: bool) -> None:
    assert is_loss_to_accept(Failure(f"exited with code {code}", code, Cause(reason))) is waits


def test_three_brokers_have_consecutive_ports_and_three_replicas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_services, "free_ports", lambda count: list(range(20000, 20000 + count)))
    services = Services({"SEQUENCE_STATE_DIR": str(tmp_path), "SEQUENCE_LOCAL_BROKERS": "3"})
    topics = services.settings.topics

    assert [service.name for service in services.kafka()] == ["kafka-1", "kafka-2", "kafka-3"]
    assert services.kafka_settings.bootstrap_servers == "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"
    assert (topics.replication_factor, topics.min_insync_replicas) == (3, 2)
    # No gateway waits for a broker that is lost.
    assert {need for service in (*services.gateways(), *services.workers()) for need in service.needs} == {"clickhouse"}


def test_commands_know_the_brokers_of_the_data(tmp_path: Path) -> None:
    for node in (1, 2, 3):
        (tmp_path / f"kafka-{node}").mkdir()
    environ = {"SEQUENCE_STATE_DIR": str(tmp_path)}

    assert load_kafka(environ).bootstrap_servers.count(",") == 2
    assert with_replicas(environ)["SEQUENCE_REPLICATION_FACTOR"] == "3"
    assert "SEQUENCE_REPLICATION_FACTOR" not in with_replicas({"SEQUENCE_KAFKA_SERVERS": "k:1", **environ})


@pytest.mark.parametrize("left", [(1, 2), (1, 3), (2, 3), (3,)])
def test_cluster_has_three_brokers_although_the_data_of_some_were_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: tuple[int, ...]
) -> None:
    monkeypatch.setattr(local_services, "free_ports", lambda count: list(range(20000, 20000 + count)))
    for node in left:
        (tmp_path / f"kafka-{node}").mkdir()

    services = Services({"SEQUENCE_STATE_DIR": str(tmp_path)})

    assert [broker.directory.name for broker in services.brokers] == ["kafka-1", "kafka-2", "kafka-3"]
