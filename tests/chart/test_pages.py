"""The examples of docs/kubernetes.md and of the chart's README are those that the chart takes."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # it publishes no types

from tests.chart.rendering import CHART, EXAMPLES, OPERATORS, SETS, read, rendered, run
from tests.support.documents import page

PAGE = page("docs/kubernetes.md")
README = (CHART / "README.md").read_text()
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(language: str, text: str = PAGE.text) -> list[str]:
    """Return the blocks of *language*, those in lists as well."""
    return [textwrap.dedent(content) for _, name, content in BLOCK.findall(text) if name == language]


def test_values_of_the_installation_are_complete(tmp_path: Path) -> None:
    [values] = [block for block in blocks("yaml") if "clickhouse:" in block]
    (tmp_path / "values.yaml").write_text(values)

    done = run("template", "sequence", str(CHART), "--values", str(tmp_path / "values.yaml"))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [PAGE.text, README], ids=["page", "readme"])
def test_commands_of_helm_are_accepted(text: str, tmp_path: Path) -> None:
    [values] = [block for block in blocks("yaml") if "clickhouse:" in block]
    (tmp_path / "values.yaml").write_text(values)
    scripts = "\n".join(blocks("bash", text)).replace("\\\n", " ")
    commands = [shlex.split(line) for line in scripts.splitlines() if line.startswith("helm ")]

    assert commands
    for _, action, release, chart, *arguments in commands:
        assert action in {"install", "upgrade"}
        assert chart in {"deploy/chart", "."}
        given = [str(tmp_path / "values.yaml") if each == "values.yaml" else each for each in arguments]
        done = run("template", release, str(CHART), *given)
        assert done.returncode == 0, done.stderr


def test_resources_that_kubectl_names_exist() -> None:
    kinds = {"deploy": "Deployment", "svc": "Service", "job": "Job"}
    found = {(each["kind"], each["metadata"]["name"]) for each in rendered("minimal")}
    named = re.findall(r"\b(deploy|svc|job)/(sequence-\w+)", PAGE.text)

    assert named
    assert {(kinds[kind], name) for kind, name in named} <= found


def test_security_context_of_openshift_is_that_of_the_example() -> None:
    [block] = [yaml.safe_load(block) for block in blocks("yaml") if "fsGroup" in block]

    assert block.items() <= read((EXAMPLES / "openshift.yaml").read_text())[0].items()


def test_every_example_is_listed() -> None:
    files = {f"{name}.yaml" for name in (*SETS, *OPERATORS)}

    assert {file.name for file in EXAMPLES.iterdir()} == files
    assert all(f"`{name}`" in PAGE.text and f"`examples/{name}`" in README for name in files)


def test_scrape_configuration_finds_the_port_of_every_pod() -> None:
    [[job]] = [yaml.safe_load(block) for block in blocks("yaml") if "job_name" in block]
    [rule] = job["relabel_configs"]

    assert job["job_name"].startswith("sequence-")
    assert rule["regex"] == "sequence-events;http"
    for each in rendered("minimal"):
        if each["kind"] in {"Deployment", "StatefulSet"}:
            template = each["spec"]["template"]
            assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "sequence-events"
            assert [port["name"] for port in template["spec"]["containers"][0]["ports"]] == ["http"]
