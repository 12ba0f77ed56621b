"""Pods run as any user on a read-only file system, without privileges, and secrets are in Secrets alone."""

from __future__ import annotations

import json
import re

import pytest

from processors.settings import WORKERS
from tests.chart.rendering import SETS, of_kind, pod, pods
from tests.support.containers import image_environment, instructions

EVERY_SET = pytest.mark.parametrize("values", SETS)
POLICIES = ("--show-only", "templates/networkpolicies.yaml")
STATEFUL = {"dedupe", "persons"}


@EVERY_SET
def test_pods_keep_the_restricted_pod_security_standard(values: str) -> None:
    for each in pods(values):
        assert each.spec["securityContext"]["runAsNonRoot"] is True
        assert each.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert each.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & each.spec.keys()
        assert each.spec["automountServiceAccountToken"] is False


@EVERY_SET
def test_no_pod_needs_a_user_of_its_own(values: str) -> None:
    for each in pods(values):
        assert not {"runAsUser", "runAsGroup"} & (
            each.spec["securityContext"].keys() | each.container["securityContext"]
        )
        # Python asks for both where /etc/passwd has no entry.
        assert (each.environment["HOME"], each.environment["USER"]) == ("/tmp", "sequence")  # noqa: S108
    assert "fsGroup" not in pod("openshift", "dedupe").spec["securityContext"]
    assert pod("minimal", "dedupe").spec["securityContext"]["fsGroup"] == int(
        instructions("USER")[-1].partition(":")[2]
    )


@EVERY_SET
def test_writable_paths_are_volumes(values: str) -> None:
    for each in pods(values):
        mounts = {mount["name"]: mount for mount in each.container["volumeMounts"]}
        writable = {mount["mountPath"] for mount in mounts.values() if not mount.get("readOnly")}
        assert writable == {"/tmp"} | ({"/var/lib/sequence"} if each.component in STATEFUL else set())  # noqa: S108
        claims = {claim["metadata"]["name"] for claim in each.resource["spec"].get("volumeClaimTemplates", [])}
        assert mounts.keys() == {volume["name"] for volume in each.spec["volumes"]} | claims
    for kind in STATEFUL:
        assert pod(values, kind).environment["SEQUENCE_WORKER_DIR"].startswith("/var/lib/sequence/")
    assert image_environment()["SEQUENCE_WORKER_DIR"] == pod(values, "dedupe").environment["SEQUENCE_WORKER_DIR"]


def test_state_of_a_worker_is_on_a_volume_of_its_pod_unless_switched_off() -> None:
    claims = {kind: pod("production", kind).resource["spec"].get("volumeClaimTemplates", []) for kind in WORKERS}
    temporary = [volume["name"] for volume in pod("openshift", "persons").spec["volumes"] if "emptyDir" in volume]

    assert {kind: [claim["metadata"]["name"] for claim in found] for kind, found in claims.items()} == {
        "dedupe": ["state"],
        "persons": ["state"],
        "sink": [],
    }
    assert claims["dedupe"][0]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "50Gi"}},
    }
    assert temporary == ["tmp", "state"]


@EVERY_SET
def test_secrets_are_files_of_secrets_alone(values: str) -> None:
    secrets = re.compile("PASSWORD|TOKEN|SECRET|BACKUP_TO|TLS_KEY")
    assert of_kind("Secret", values) == []
    for each in pods(values):
        named = {name for name in each.environment if secrets.search(name)}
        assert all(name.endswith("_FILE") for name in named)
        assert all("valueFrom" not in variable for variable in each.container["env"])
        assert not secrets.search(" ".join(each.container["args"]).upper())
    for config_map in of_kind("ConfigMap", values):
        assert config_map["metadata"]["name"] in {"sequence-alerts", "sequence-dashboard"}


@EVERY_SET
def test_each_process_gets_only_the_passwords_that_it_needs(values: str) -> None:
    kafka, writer, analyst = "kafka-password", "clickhouse-password", "analyst-password"
    has_sasl = values != "minimal"
    expected = {
        **{component: {kafka} for component in ("gateway", "dedupe", "persons", "topics")},
        **{component: {kafka, writer} for component in ("sink", "audit")},
        "console": {kafka, analyst},
        "tables": {writer, analyst},
    }

    for each in pods(values):
        found = re.findall(r'"path": "([a-z]+-password)"', json.dumps(each.spec))
        assert set(found) == {name for name in expected[each.component] if has_sasl or name != kafka}


def test_client_certificates_are_files_of_the_pods_that_connect() -> None:
    for each in pods("openshift"):
        mounted = {
            item["path"]: (source["secret"]["name"], item["key"])
            for volume in each.spec["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
            for item in source["secret"]["items"]
        }
        for name, secret, keys in (
            ("kafka", "kafka-client", ("tls.crt", "tls.key")),
            ("clickhouse", "clickhouse-client", ("client.pem", "client.key")),
        ):
            connects = f"SEQUENCE_{name.upper()}_{'SERVERS' if name == 'kafka' else 'URL'}" in each.environment
            for suffix, variable, key in zip(("crt", "key"), ("CERT_FILE", "KEY_FILE"), keys, strict=True):
                file = each.environment.get(f"SEQUENCE_{name.upper()}_{variable}")
                assert file == (f"/etc/sequence/secrets/{name}.{suffix}" if connects else None)
                assert mounted.get(f"{name}.{suffix}") == ((secret, key) if connects else None)


def test_network_policies_cover_every_pod_and_name_the_ports() -> None:
    found = of_kind("NetworkPolicy", "openshift")
    policies = {each["metadata"]["name"].removeprefix("sequence-"): each for each in found}
    assert policies.keys() == {each.component for each in pods("openshift")}
    for each in pods("openshift"):
        spec = policies[each.component]["spec"]
        labels = each.resource["spec"]["template"]["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        ports = {port["port"] for rule in spec["egress"] for port in rule["ports"]} - {53, 5353, "http"}
        kafka = {9094, 9095} if "SEQUENCE_KAFKA_SERVERS" in each.environment else set()
        clickhouse = {8443} if "SEQUENCE_CLICKHOUSE_URL" in each.environment else set()
        assert ports == kafka | clickhouse


@pytest.mark.parametrize(
    ("setting", "port"),
    [
        ("clickhouse.url=http://clickhouse", 8123),
        ("clickhouse.url=https://clickhouse/", 8443),
        ("clickhouse.url=https://clickhouse:9440", 9440),
        ("clickhouse.url=http://proxy/clickhouse", 80),
        ("clickhouse.url=https://proxy/clickhouse", 443),
        ("clickhouse.url=http://[fd00::1]:8124", 8124),
        ("clickhouse.url=http://[fd00::1]", 8123),
        ("kafka.servers=kafka", 9092),
        ("kafka.servers=[fd00::1]:9095", 9095),
        ("kafka.servers=fd00::1", 9092),
    ],
)
def test_network_policy_allows_the_port_that_the_client_connects_to(setting: str, port: int) -> None:
    audit = next(
        policy
        for policy in of_kind("NetworkPolicy", "openshift", *POLICIES, "--set-string", setting)
        if policy["metadata"]["name"] == "sequence-audit"
    )
    assert {"ports": [{"port": port}]} in audit["spec"]["egress"]


def test_only_the_given_peers_may_connect() -> None:
    spec = {each["metadata"]["name"]: each["spec"] for each in of_kind("NetworkPolicy", "openshift")}

    assert spec["sequence-gateway"]["ingress"] == [{"ports": [{"port": "http"}]}]
    assert spec["sequence-topics"]["ingress"] == spec["sequence-tables"]["ingress"] == []
    metrics = {"namespaceSelector": {"matchLabels": {"network.openshift.io/policy-group": "monitoring"}}}
    assert spec["sequence-dedupe"]["ingress"] == [{"ports": [{"port": "http"}], "from": [metrics]}]
    assert of_kind("NetworkPolicy", "minimal") == []
