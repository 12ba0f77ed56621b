"""Renders the chart with Helm, once for each set of values."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # it publishes no types

from tests.chart.install import helm
from tests.support.documents import ROOT

CHART = ROOT / "deploy" / "chart"
EXAMPLES = CHART / "examples"
SETS = ("minimal", "production", "openshift")
"""Sets of values in `EXAMPLES`."""
OPERATORS = ("strimzi", "strimzi-topics", "clickhouse")
"""Resources of operators in `EXAMPLES`."""
RELEASE = "sequence"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that a resource makes."""

    component: str
    kind: str
    resource: Resource
    spec: Resource

    @property
    def container(self) -> Resource:
        """Its only container."""
        [found] = self.spec["containers"]
        assert isinstance(found, dict)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the container; none comes from elsewhere."""
        return {each["name"]: each["value"] for each in self.container["env"]}

    def __str__(self) -> str:
        return self.component


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm with *arguments*."""
    return subprocess.run([helm(), *arguments], capture_output=True, text=True, check=False, timeout=60)


def template(name: str, *arguments: str, chart: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Render *chart*, by default `CHART`, with the values of the set *name* and further *arguments*."""
    return run("template", RELEASE, str(chart or CHART), "--values", str(EXAMPLES / f"{name}.yaml"), *arguments)


def read(text: str) -> list[Resource]:
    """Return the resources in *text*."""
    # The parser in C, with the rules of YAML 1.1 as Kubernetes has them.
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


@cache
def rendered(name: str, *arguments: str) -> tuple[Resource, ...]:
    """Return the resources of the set *name*, with further *arguments* of Helm. They must not be changed."""
    done = template(name, *arguments)
    assert done.returncode == 0, done.stderr
    return tuple(read(done.stdout))


def example(name: str) -> list[Resource]:
    """Return the resources of a file of `OPERATORS`."""
    return read((EXAMPLES / f"{name}.yaml").read_text())


def pods(name: str, *arguments: str) -> Iterator[Pod]:
    """Yield the pods of `rendered`."""
    for resource in rendered(name, *arguments):
        if resource["kind"] in {"Deployment", "StatefulSet", "Job"}:
            template_of_pod = resource["spec"]["template"]
            component = template_of_pod["metadata"]["labels"]["app.kubernetes.io/component"]
            yield Pod(component, resource["kind"], resource, template_of_pod["spec"])


def pod(name: str, component: str, *arguments: str) -> Pod:
    """Return the pod of *component* of `rendered`."""
    [found] = [each for each in pods(name, *arguments) if each.component == component]
    return found


def of_kind(kind: str, name: str, *arguments: str) -> list[Resource]:
    """Return the resources of `rendered` of *kind*."""
    return [resource for resource in rendered(name, *arguments) if resource["kind"] == kind]
