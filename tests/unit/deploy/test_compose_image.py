"""The image: what it is built from, as whom it runs, and that its lock files say what the project's own says."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from deploy.docker.health import host_to_connect
from gateway.settings import GatewaySettings
from tests.support.containers import (
    DOCKERFILE,
    ROOT,
    build_context,
    copied,
    dockerfile,
    image_environment,
    pins,
    stages,
)
from tests.unit.deploy.test_compose import OURS, known

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ROOT / "deploy" / "docker"


def values(name: str) -> list[str]:
    """Return the values of the image's instructions *name*."""
    return [item.value for item in stages()[-1] if item.name == name]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[=]", requirement, maxsplit=1)[0] for requirement in requirements}


def test_the_image_is_built_in_one_stage_and_runs_in_another() -> None:
    build, image = stages()

    assert build[0].value.endswith(" AS build")
    assert " AS " not in image[0].value
    assert [item.value.split()[0] for item in image if item.name == "COPY"] == ["--from=build"]


def test_both_stages_have_the_oldest_python_that_is_supported() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")

    assert [stage[0].value.split()[0] for stage in stages()] == [
        f"python:{oldest}-bookworm",
        f"python:{oldest}-slim-bookworm",
    ]


def test_the_image_does_not_run_as_root() -> None:
    (user,) = values("USER")

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that Kubernetes can see that it is not root"
    order = [item.name for item in stages()[-1]]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name in {"RUN", "COPY"})
    assert order.index("USER") < order.index("ENTRYPOINT")


def test_the_image_checks_its_health() -> None:
    (check,) = values("HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])

    assert command == ["python", "-m", "deploy.docker.health"]


@pytest.mark.parametrize(
    ("listens", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("", "127.0.0.1"), ("10.1.2.3", "10.1.2.3")],  # noqa: S104  # none is bound
)
def test_the_health_check_asks_this_machine_where_the_gateway_listens_on_every_address(
    listens: str, asked: str
) -> None:
    assert host_to_connect(GatewaySettings(host=listens)) == asked


def test_the_image_is_the_sequence_command_and_a_gateway_by_default() -> None:
    assert json.loads(values("ENTRYPOINT")[0]) == ["sequence"]
    assert "sequence" in PROJECT["project"]["scripts"]
    assert json.loads(values("CMD")[0]) == ["gateway"]


def test_the_image_sets_only_known_settings() -> None:
    ours = {name for name in image_environment() if name.startswith("SEQUENCE_")}

    assert ours
    assert ours <= {variable for service in OURS for variable in known(service)}


def test_the_directories_that_the_image_names_belong_to_its_user() -> None:
    environment = image_environment()
    (run,) = values("RUN")
    home = environment["SEQUENCE_STATE_DIR"]

    assert run.endswith(f"install --directory --owner=sequence --group=sequence --mode=0750 {home}")
    assert environment["SEQUENCE_WORKER_DIR"].startswith(f"{home}/")


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_sent_to_the_build(source: str) -> None:
    sent = build_context()

    assert (ROOT / source).exists()
    assert source in sent or any(file.startswith(f"{source}/") for file in sent)


def test_every_package_and_what_its_metadata_names_is_copied() -> None:
    project = PROJECT["project"]

    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied())
    assert {"pyproject.toml", project["readme"], *project["license-files"]} <= set(copied())


def test_nothing_is_sent_to_the_build_that_it_does_not_copy() -> None:
    extra = {file for file in build_context() if file.split("/", maxsplit=1)[0] not in copied()}

    assert extra == set()


def test_no_secret_and_no_rubbish_is_sent_to_the_build() -> None:
    assert [
        file for file in build_context() if re.search(r"\.env|\.git|__pycache__|\.pyc$|\.sequence|token$", file)
    ] == []


def test_what_is_fetched_is_checked_by_hash_and_the_rest_is_done_without_the_network() -> None:
    steps = [step for item in dockerfile() if item.name == "RUN" for step in item.value.split(" && ")]
    pip = [step for step in steps if step.startswith("pip ")]
    fetching = [step for step in pip if "--no-deps" not in step]

    assert len(pip) == 4
    assert [step.split(" -r ")[1] for step in fetching] == ["build.lock", "runtime.lock"]
    assert all("--require-hashes" in step for step in fetching)
    assert all("--no-index" in step or "--no-build-isolation" in step for step in pip if step not in fetching)


@pytest.mark.parametrize("lock", ["runtime.lock", "build.lock"])
def test_a_lock_of_the_image_agrees_with_the_project_s(lock: str) -> None:
    project = pins(ROOT / "requirements.lock")
    image = pins(LOCKS / lock)
    shared = image.keys() & project.keys()

    assert "packaging" in shared
    assert {name: image[name] for name in shared} == {name: project[name] for name in shared}


def test_the_runtime_lock_holds_what_the_project_depends_on_and_nothing_beyond() -> None:
    project = pins(ROOT / "requirements.lock")
    runtime = pins(LOCKS / "runtime.lock")
    extras = names(PROJECT["project"]["optional-dependencies"]["local"] + PROJECT["dependency-groups"]["dev"])
    pinned = {f"{name}=={version}" for name, (version, _) in runtime.items()}

    assert runtime.keys() <= project.keys()
    assert set(PROJECT["project"]["dependencies"]) <= pinned
    assert extras & runtime.keys() == set()


def test_the_build_lock_holds_what_builds_the_wheels() -> None:
    build = pins(LOCKS / "build.lock")

    assert names(PROJECT["dependency-groups"]["image"]) <= build.keys()
    assert names(PROJECT["build-system"]["requires"]) <= build.keys()


@pytest.mark.parametrize("lock", ["runtime.lock", "build.lock"])
def test_every_requirement_of_a_lock_has_hashes(lock: str) -> None:
    found = pins(LOCKS / lock)

    assert len(found) >= 10
    assert [name for name, (_, hashes) in found.items() if not hashes] == []


def test_the_container_files_name_no_registry() -> None:
    for file in (DOCKERFILE, ROOT / "docker-compose.yml", LOCKS / "runtime.lock", LOCKS / "build.lock"):
        assert re.search(r"https?://(?!127\.0\.0\.1|clickhouse)|\w+\.(io|com|org)/", file.read_text()) is None, file
