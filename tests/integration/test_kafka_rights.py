"""A cluster that denies by default, with TLS on every connection: each part has a user with exactly its rights."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from deploy.kafka_rights import PARTS, Right
from deploy.topics import apply
from schemas.settings import TopicSettings, environment
from tests.support.secured_kafka import ADMIN
from tests.support.secured_parts import RUNNING, WITH_PASSWORDS, Secured, secured_parts, sequence, track
from tests.support.services import clickhouse_settings, eventually, running
from tests.support.tls_kafka import TlsKafka, grant, tls_kafka, trust


@pytest.fixture(scope="module")
def kafka_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsKafka]:
    """The broker. No other module uses it."""
    made = tls_kafka(tmp_path_factory.mktemp("tls"), WITH_PASSWORDS)
    with running(made.service):
        yield made


@pytest.fixture(scope="module")
def secured(kafka_with_users: TlsKafka, clickhouse: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The parts, running."""
    with secured_parts(kafka_with_users, clickhouse, tmp_path_factory.mktemp("parts")) as made:
        yield made
        for worker in made.workers.values():
            assert worker.running, worker.log


def rows(secured: Secured) -> dict[str, int]:
    """Return the number of rows of each table."""
    tables = ("events", "persons", "duplicates", "rejected")
    return {name: secured.query(f"SELECT count() AS n FROM {name} FINAL")[0]["n"] for name in tables}  # noqa: S608


def test_parts_with_exactly_their_rights_fill_the_tables(secured: Secured) -> None:
    identify = {"type": "identify", "userId": "u-1", "messageId": "m-2", "traits": {"plan": "pro"}}
    assert secured.post(track("m-1"), identify) == 200
    assert secured.post(track("m-1"), {"type": "track"}) == 200

    expected = {"events": 2, "persons": 1, "duplicates": 1, "rejected": 1}
    eventually(lambda: rows(secured) == expected, "every table has its rows", output=lambda: str(rows(secured)))


@pytest.mark.parametrize("command", ["topics apply", "project list", "status", "gateway"])
def test_broker_of_an_unknown_authority_is_named(secured: Secured, tmp_path: Path, command: str) -> None:
    trust(tmp_path / "ca.pem", trustme.CA())
    kafka = replace(secured.settings_of("console"), ca_file=str(tmp_path / "ca.pem"))

    code, output = sequence(
        kafka, {**environment(secured.clickhouse), "SEQUENCE_GATEWAY_START_TIMEOUT_SECONDS": "1"}, *command.split()
    )

    assert code != 0
    assert "certificate cannot be verified (" in output
    assert "), see SEQUENCE_KAFKA_CA_FILE" in output


def missing(part: str, operation: str, name: str) -> tuple[str, Right]:
    (found,) = (right for right in PARTS[part].rights if (right.operation, right.name) == (operation, name))
    return part, found


IN_CI = (
    missing("dedupe", "Write", "duplicates.v1"),
    missing("persons", "Read", "persons"),
    missing("sink", "Read", "persons.v1"),
    missing("gateway", "Read", "projects.v1"),
)
EVERY = [(part, right) for part in RUNNING for right in PARTS[part].rights if not right.without]


def _id(lacking: tuple[str, Right]) -> str:
    part, right = lacking
    return f"{part} {right.operation} {right.kind} {right.name}"


@pytest.fixture(scope="module")
def idle(kafka_with_users: TlsKafka) -> str:
    """Prefix of topics whose parts do not run."""
    prefix = f"idle-{secrets.token_hex(4)}"
    asyncio.run(apply(kafka_with_users.as_user(ADMIN, prefix), TopicSettings(partitions=1)))
    return prefix


@pytest.mark.parametrize(
    "lacking", [*IN_CI, *(pytest.param(each, marks=pytest.mark.faults) for each in EVERY if each not in IN_CI)], ids=_id
)
def test_control_part_without_one_right_ends_and_names_it(
    kafka_with_users: TlsKafka, idle: str, clickhouse: str, tmp_path: Path, lacking: tuple[str, Right]
) -> None:
    part, right = lacking
    user = f"{part}-{secrets.token_hex(4)}"
    admin = kafka_with_users.as_user(ADMIN, idle)
    asyncio.run(grant(admin, user, [each for each in PARTS[part].rights if each != right]))

    code, output = sequence(
        kafka_with_users.with_certificate(user, idle, tmp_path / "user"),
        {**environment(clickhouse_settings(clickhouse)), "SEQUENCE_WORKER_DIR": str(tmp_path / "state")},
        *(["gateway"] if part == "gateway" else ["worker", part]),
    )

    assert code in {1, 78}, output
    assert f"Kafka denies {right.operation.upper()} on " in output or "Topics missing: " in output
    assert right.resource(idle) in output
    assert "Traceback" not in output
