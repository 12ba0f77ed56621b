"""Values: a mistake is refused with a message that helps, and the documentation describes each of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.known_settings import AllSettings
from schemas.settings import declarations
from tests.chart.rendering import CHART, pod, pods, template
from tests.support.chart_files import UPDATE, names_of_settings
from tests.support.chart_values import PAGE, rows, table

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = YAML(typ="safe").load((CHART / "values.yaml").read_text())
WRONG_FOR_THE_SCHEMA = {
    "topics.partition=3": "at '/topics': additional properties 'partition' not allowed",
    "topics.partitions=many": "at '/topics/partitions': got string, want integer",
    "topics.partitions=0": "at '/topics/partitions': minimum: got 0, want 1",
    "kafka.securityProtocol=TLS": "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'",
    "kafka.servers=SSL://kafka:9092": "at '/kafka/servers'",
    "clickhouse.url=clickhouse:8123": "at '/clickhouse/url'",
    "gateway.shutdownDelaySeconds=11": "maximum: got 11, want 10",
    "terminationGracePeriodSeconds=20": "minimum: got 20, want 25",
    "podSecurityContext.runAsNonRoot=false": "at '/podSecurityContext/runAsNonRoot': value must be true",
    "workers.sink.standbys=1": "additional properties 'standbys' not allowed",
    "workers.dedupe.volume.size=big": "at '/workers/dedupe/volume/size'",
    "audit.interval=often": "at '/audit/interval'",
    "settings.SEQUENCE_GATEWAY_PORT=8081": "invalid propertyName 'SEQUENCE_GATEWAY_PORT'",
    "settings.SEQUENCE_KAFKA_PASSWORD=mine": "invalid propertyName 'SEQUENCE_KAFKA_PASSWORD'",
    "settings.SEQUENCE_LOG_LEVLE=INFO": "invalid propertyName 'SEQUENCE_LOG_LEVLE'",
}
KEDA = "workers.sink.autoscaling.enabled"
WRONG_FOR_THE_CHART = {
    "kafka.servers=": "kafka.servers is empty. Set it to the addresses of your brokers",
    "clickhouse.url=": "clickhouse.url is empty. Set it to the HTTP address of one ClickHouse replica",
    "clickhouse.url=http://me:mine@clickhouse": "clickhouse.url has a login, which would be visible in the pods.",
    "kafka.securityProtocol=SASL_SSL": "SASL_SSL, which needs kafka.username and kafka.passwordSecret.name.",
    "clickhouse.analystPasswordSecret.name=": "Set clickhouse.analystPasswordSecret.name, or console.enabled to false.",
    "topics.minInsyncReplicas=2": "topics.minInsyncReplicas is 2, more than topics.replicationFactor, which is 1.",
    "workers.sink.replicas=13": "workers.sink: 13 workers, but topics.partitions is 12.",
    "workers.dedupe.standbys=1": "workers.dedupe.standbys is 1, which needs at least 2 workers, but there can be 1.",
    f"{KEDA}=true,workers.sink.autoscaling.maxReplicas=1": "autoscaling.minReplicas is 2, more than the largest number",
    f"{KEDA}=true,workers.sink.autoscaling.maxReplicas=20": "workers.sink: 20 workers, but topics.partitions is 12.",
    "gateway.ingress.enabled=true": "gateway.ingress.host is empty. Set it to the host name of the Ingress.",
}


@pytest.mark.parametrize("setting", [*WRONG_FOR_THE_SCHEMA, *WRONG_FOR_THE_CHART])
def test_wrong_value_is_refused_with_a_message_that_helps(setting: str) -> None:
    is_typed = setting.startswith(("topics", "gateway", "termination", "pod", "workers"))

    done = template("minimal", "--set" if is_typed else "--set-string", setting)

    assert done.returncode != 0
    assert {**WRONG_FOR_THE_SCHEMA, **WRONG_FOR_THE_CHART}[setting] in done.stderr


def test_values_without_a_mistake_are_accepted() -> None:
    assert template("minimal", "--set-string", "settings.SEQUENCE_LOG_LEVEL=DEBUG").returncode == 0


def test_settings_are_all_that_the_chart_does_not_set_itself() -> None:
    allowed = SCHEMA["properties"]["settings"]["propertyNames"]["enum"]
    set_in_pods = {name for each in pods("minimal") for name in each.environment} - DEFAULTS["settings"].keys()
    secret = {declared.variable for declared in declarations(AllSettings) if declared.secret}

    assert allowed == names_of_settings(), UPDATE
    assert set(allowed) & (set_in_pods | secret) == set()
    assert len(allowed) > 20


def test_settings_of_one_kind_of_process_do_not_restart_the_others() -> None:
    found = {each.component: each.environment for each in pods("production")}

    assert {name for name, environ in found.items() if "SEQUENCE_GATEWAY_CORS_ORIGINS" in environ} == {"gateway"}
    assert {name for name, environ in found.items() if "SEQUENCE_WORKER_SESSION_SECONDS" in environ} == {
        "dedupe",
        "persons",
        "sink",
    }
    assert all("SEQUENCE_DEDUPE_WINDOW_DAYS" in environ for environ in found.values())


def test_number_in_settings_is_refused_because_helm_writes_large_ones_as_floats() -> None:
    done = template("minimal", "--set", "settings.SEQUENCE_KAFKA_MIN_FREE_BYTES=1073741824")

    assert "got number, want string" in done.stderr
    arguments = ("--set-string", "settings.SEQUENCE_KAFKA_MIN_FREE_BYTES=1073741824")
    assert pod("minimal", "gateway", *arguments).environment["SEQUENCE_KAFKA_MIN_FREE_BYTES"] == "1073741824"


def test_schema_describes_every_value_and_allows_no_other() -> None:
    assert list(_undescribed(DEFAULTS, SCHEMA, "")) == []


def test_page_has_a_row_for_each_value() -> None:
    assert table() in PAGE.read_text(), UPDATE
    assert len(rows()) > 100
    assert [row.name for row in rows() if not row.meaning.endswith(".")] == []


def _undescribed(value: Any, schema: dict[str, Any], path: str) -> Any:
    """Yield the path of each value without a schema, and of each map that allows any name but is none of Kubernetes."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema and isinstance(value, dict):
        if path != "/podSecurityContext" and schema.get("additionalProperties") is not False:
            yield path
        for name, inner in value.items():
            if name not in schema["properties"]:
                if path != "/podSecurityContext":
                    yield f"{path}/{name}"
            else:
                yield from _undescribed(inner, schema["properties"][name], f"{path}/{name}")
