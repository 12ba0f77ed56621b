"""The chart renders for each set of values, and Kubernetes accepts what it renders."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.chart.install import VERSIONS
from tests.chart.rendering import CHART, EXAMPLES, OPERATORS, SETS, Resource, example, of_kind, rendered, run, template
from tests.chart.validation import errors
from tests.support.chart_files import UPDATE
from tests.support.documents import ROOT

NEWEST = VERSIONS[-1]
EVERY_SET = pytest.mark.parametrize("values", SETS)


def refused(resources: Iterable[Resource], version: str) -> dict[str, list[str]]:
    """Return the errors of the *resources* that Kubernetes *version* refuses, by kind and name."""
    named = {f"{each['kind']} {each['metadata']['name']}": errors(each, version) for each in resources}
    return {name: found for name, found in named.items() if found}


@pytest.mark.parametrize("version", VERSIONS)
@EVERY_SET
def test_kubernetes_accepts_every_resource(values: str, version: str) -> None:
    assert refused(rendered(values), version) == {}


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_accept_the_examples(operator: str) -> None:
    assert refused(example(operator), NEWEST) == {}


def _pod(resource: Resource) -> Any:
    return resource["spec"]["template"]["spec"]


WRONG: dict[str, tuple[str, Callable[[Resource], Any]]] = {
    "an unknown field": ("Deployment", lambda resource: _pod(resource).update(terminationGrace=30)),
    "a text in place of a number": ("StatefulSet", lambda resource: resource["spec"].update(replicas="two")),
    "a missing field": ("StatefulSet", lambda resource: resource["spec"].pop("selector")),
    "an unknown field of a probe": (
        "StatefulSet",
        lambda resource: _pod(resource)["containers"][0]["readinessProbe"].update(interval=5),
    ),
    "an unknown field of KEDA": ("ScaledObject", lambda resource: resource["spec"].update(maxReplicas=3)),
    "a trigger without its type": ("ScaledObject", lambda resource: resource["spec"]["triggers"][0].pop("type")),
    "an unknown field of a PodMonitor": ("PodMonitor", lambda resource: resource["spec"].update(endpoints=[])),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_field_is_refused(case: str) -> None:
    kind, spoil = WRONG[case]
    wrong = copy.deepcopy(of_kind(kind, "production")[0])
    assert errors(wrong, NEWEST) == []

    spoil(wrong)

    assert errors(wrong, NEWEST) != []


def test_wrong_field_of_an_operators_resource_is_refused() -> None:
    for operator in OPERATORS:
        wrong = example(operator)[0]
        wrong["spec"]["replica"] = 1
        assert errors(wrong, NEWEST) != []


@pytest.mark.parametrize("values", [None, *SETS])
def test_lint_finds_nothing(values: str | None) -> None:
    arguments = [] if values is None else ["--values", str(EXAMPLES / f"{values}.yaml")]

    done = run("lint", "--strict", str(CHART), *arguments)

    assert done.returncode == 0, done.stdout + done.stderr


def test_names_are_unique() -> None:
    for values in SETS:
        names = [(resource["kind"], resource["metadata"]["name"]) for resource in rendered(values)]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(("file", "of"), [("alerts.yml", "alerts"), ("dashboard.json", "dashboard")])
def test_config_map_has_the_bytes_of_grafana(file: str, of: str) -> None:
    [config_map] = [each for each in of_kind("ConfigMap", "minimal") if each["metadata"]["name"] == f"sequence-{of}"]
    original = (ROOT / "deploy" / "grafana" / file).read_bytes()

    assert (CHART / "files" / file).read_bytes() == original, UPDATE
    assert [text.encode() for text in config_map["data"].values()] == [original]


def test_prometheus_rule_has_the_rules_of_grafana() -> None:
    [rule] = of_kind("PrometheusRule", "production")

    assert rule["spec"] == YAML(typ="safe").load((ROOT / "deploy" / "grafana" / "alerts.yml").read_text())


def test_config_map_of_another_file_is_noticed(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    (chart / "files" / "alerts.yml").write_text("groups: []\n")

    done = template("minimal", chart=chart)

    assert done.returncode == 0
    assert (ROOT / "deploy" / "grafana" / "alerts.yml").read_text().splitlines()[-1].strip() not in done.stdout
