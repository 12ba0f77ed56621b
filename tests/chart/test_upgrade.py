"""Installation and upgrade: topics and tables first, then one worker at a time, and nothing that cannot be changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deploy.kafka_rights import PARTS
from processors.settings import WORKERS
from schemas.settings import TopicSettings, load
from schemas.topics import Topics
from tests.chart.rendering import CHART, SETS, example, of_kind, pod, pods, read, rendered, template
from tests.support.chart_files import TOPICS, UPDATE, production, strimzi_topics
from tests.support.containers import services
from tests.support.documents import page

EVERY_SET = pytest.mark.parametrize("values", SETS)
NEWER = ("--set", "image.tag=9.9.9")
IMMUTABLE = ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")


def newer_chart(directory: Path) -> Path:
    """Return a copy of the chart below *directory* with another version, of the same image."""
    chart = directory / "chart"
    shutil.copytree(CHART, chart)
    text, changed = re.subn(r"(?m)^version: .*$", "version: 9.9.9", (chart / "Chart.yaml").read_text())
    assert changed == 1
    (chart / "Chart.yaml").write_text(text)
    return chart


def test_upgrade_changes_nothing_that_kubernetes_refuses_to_change(tmp_path: Path) -> None:
    chart = newer_chart(tmp_path)
    before = {(each["kind"], each["metadata"]["name"]): each for each in rendered("production")}

    done = template("production", *NEWER, chart=chart)
    after = {(each["kind"], each["metadata"]["name"]): each for each in read(done.stdout)}

    assert before.keys() == after.keys()
    for key, resource in before.items():
        if resource["kind"] in {"Deployment", "StatefulSet"}:
            changed = after[key]["spec"]
            assert {name: resource["spec"].get(name) for name in IMMUTABLE} == {
                name: changed.get(name) for name in IMMUTABLE
            }
            assert resource["spec"]["template"]["metadata"] == changed["template"]["metadata"]
            assert changed["template"]["spec"]["containers"][0]["image"].endswith(":9.9.9")


def test_pods_of_a_newer_chart_of_the_same_image_are_not_restarted(tmp_path: Path) -> None:
    chart = newer_chart(tmp_path)

    done = template("minimal", chart=chart)

    templates = [each["spec"]["template"] for each in read(done.stdout) if "template" in each.get("spec", {})]
    assert templates == [each.resource["spec"]["template"] for each in pods("minimal")]


def test_each_worker_can_be_upgraded_alone() -> None:
    """docs/operations.md upgrades the sink, then persons, then dedupe."""
    arguments = ("--set", "workers.sink.imageTag=9.9.9")
    newer = {each.component for each in pods("minimal", *arguments) if each.container["image"].endswith(":9.9.9")}
    waves = {
        kind: int(pod("minimal", kind).resource["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for kind in (*WORKERS, "gateway")
    }

    assert newer == {"sink"}
    assert sorted(waves, key=waves.__getitem__) == ["sink", "persons", "dedupe", "gateway"]
    assert "`sink`, then `persons`, then `dedupe`" in page("docs/operations.md").section("Upgrade")


@EVERY_SET
def test_topics_and_tables_are_created_before_the_pods(values: str) -> None:
    jobs = of_kind("Job", values)
    hooks = [job["metadata"]["annotations"] for job in jobs]

    assert [job["metadata"]["name"] for job in jobs] == ["sequence-topics", "sequence-tables"]
    assert {hook["helm.sh/hook"] for hook in hooks} == {"pre-install,pre-upgrade"}
    assert {hook["helm.sh/hook-delete-policy"] for hook in hooks} == {"before-hook-creation"}
    assert [int(hook["helm.sh/hook-weight"]) for hook in hooks] == [1, 2]
    # What a hook needs exists before it: nothing of the chart but the policies, which are hooks with a lower weight.
    for policy in of_kind("NetworkPolicy", values):
        hook = policy["metadata"].get("annotations", {})
        is_of_job = policy["metadata"]["name"] in {"sequence-topics", "sequence-tables"}
        assert hook.get("helm.sh/hook-weight") == ("0" if is_of_job else None)
    for each in pods(values):
        assert each.kind != "Job" or each.spec["serviceAccountName"] == "default"


@EVERY_SET
def test_one_worker_is_replaced_at_a_time_once_the_one_before_is_ready(values: str) -> None:
    for kind in WORKERS:
        spec = pod(values, kind).resource["spec"]
        assert spec["updateStrategy"] == {"type": "RollingUpdate"}
        assert spec["podManagementPolicy"] == "Parallel"
        assert spec["minReadySeconds"] == 10
        assert "readinessProbe" in pod(values, kind).container
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind("PodDisruptionBudget", values)}
    assert budgets.keys() == {f"sequence-{kind}" for kind in ("gateway", *WORKERS)}
    assert {budget["maxUnavailable"] for budget in budgets.values()} == {1}


@EVERY_SET
def test_selectors_find_the_pods_of_their_component_alone(values: str) -> None:
    found = {each.component: each.resource["spec"]["template"]["metadata"]["labels"] for each in pods(values)}
    for kind, path in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("PodMonitor", "selector")):
        for resource in of_kind(kind, values):
            selector = resource["spec"][path]
            wanted = selector.get("matchLabels", selector).items()
            name = resource["metadata"]["name"].removeprefix("sequence-")
            assert [component for component, labels in found.items() if wanted <= labels.items()] == [name]


def test_standbys_are_those_of_the_values_and_the_sink_has_none() -> None:
    assert {kind: pod("openshift", kind).environment.get("SEQUENCE_WORKER_STANDBYS") for kind in WORKERS} == {
        "dedupe": "1",
        "persons": "0",
        "sink": None,
    }


def test_replicas_are_left_to_the_autoscaler() -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind("ScaledObject", "production")}
    scaled |= {each["spec"]["scaleTargetRef"]["name"] for each in of_kind("HorizontalPodAutoscaler", "production")}

    assert scaled == {f"sequence-{kind}" for kind in ("gateway", *WORKERS)}
    for kind in ("gateway", *WORKERS):
        assert "replicas" not in pod("production", kind).resource["spec"]
        assert "replicas" in pod("minimal", kind).resource["spec"]


def test_compose_and_chart_have_twelve_partitions() -> None:
    compose = services()["init"]["environment"]

    assert pod("minimal", "topics").environment["SEQUENCE_PARTITIONS"] == compose["SEQUENCE_PARTITIONS"] == "12"


def test_topics_of_strimzi_are_those_that_the_job_would_create() -> None:
    environment = pod("production", "topics").environment

    assert production() == load(TopicSettings, environment)
    assert TOPICS.read_text() == strimzi_topics(environment["SEQUENCE_TOPIC_PREFIX"], production()), UPDATE
    assert {each["metadata"]["name"] for each in example("strimzi-topics")} == set(Topics("sequence").every)


def test_user_of_strimzi_has_the_permissions_of_the_prefix() -> None:
    [user] = [each for each in example("strimzi") if each["kind"] == "KafkaUser"]
    gateway = pod("production", "gateway").environment
    acls = {acl["resource"]["type"]: acl for acl in user["spec"]["authorization"]["acls"]}
    prefix = gateway["SEQUENCE_TOPIC_PREFIX"]

    assert user["metadata"]["name"] == gateway["SEQUENCE_KAFKA_USERNAME"]
    assert acls["topic"]["resource"] == {"type": "topic", "name": f"{prefix}.", "patternType": "prefix"}
    assert acls["group"]["resource"] == {"type": "group", "name": f"{prefix}-", "patternType": "prefix"}
    needed = {(right.kind, right.operation) for part in PARTS.values() for right in part.rights}
    granted = {(kind, operation) for kind, acl in acls.items() for operation in acl["operations"]}
    assert granted == needed
