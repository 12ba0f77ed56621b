"""The image's lock files, its build context and the order of its Dockerfile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.containers import DOCKERFILE, ROOT, instructions, labels
from tests.support.image import build_context

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS, RUNTIME, BUILD = ROOT / "requirements.lock", *map(DOCKERFILE.with_name, ("runtime.lock", "build.lock"))


def requirements(lock: Path) -> dict[str, str]:
    """Return the lines below each requirement of *lock*, by name and version."""
    return dict(re.findall(r"(?m)^([a-zA-Z0-9][^\s;]*).*\n((?: .*\n)*)", lock.read_text()))


def names(pins: dict[str, str]) -> set[str]:
    return {pin.partition("==")[0] for pin in pins}


@pytest.mark.parametrize("lock", [REQUIREMENTS, RUNTIME, BUILD], ids=lambda lock: lock.name)
def test_every_requirement_of_a_lock_has_hashes(lock: Path) -> None:
    found = requirements(lock)

    assert len(found) >= 10
    assert [pin for pin, lines in found.items() if "==" not in pin or "--hash=sha256:" not in lines] == []


@pytest.mark.parametrize("lock", [RUNTIME, BUILD], ids=lambda lock: lock.name)
def test_lock_of_the_image_agrees_with_requirements_lock(lock: Path) -> None:
    image, project = requirements(lock), requirements(REQUIREMENTS)
    shared = names(image) & names(project)

    found, expected = (
        {pin: re.findall("sha256:.{64}", pins[pin]) for pin in pins if pin.partition("==")[0] in shared}
        for pins in (image, project)
    )
    assert "packaging" in shared
    assert found == expected


def test_runtime_lock_has_only_dependencies_and_what_they_require() -> None:
    runtime, project = requirements(RUNTIME), requirements(REQUIREMENTS)
    dependencies = set(PROJECT["project"]["dependencies"])

    assert dependencies <= runtime.keys() <= project.keys()
    required = {pin for pin in runtime if names(runtime) & set(re.findall(r"# (?:via |  )(\S+)", project[pin]))}
    assert runtime.keys() - required <= dependencies


def test_secrets_state_and_tests_stay_out_of_the_build_context(tmp_path: Path) -> None:
    ignored = [".env", ".git/config", ".sequence/dev-token", "tests/conftest.py", "deploy/__pycache__/cli.pyc"]
    for file in (*ignored, "pyproject.toml", "gateway/app.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()

    assert build_context(tmp_path) == {"pyproject.toml", "gateway/app.py"}


def test_pip_checks_the_hash_of_every_download() -> None:
    steps = [step for value in instructions("RUN") for step in value.split(" && ") if step.startswith("pip ")]

    assert ["--require-hashes" in step for step in steps if "--no-deps" not in step] == [True, True]


def test_label_of_the_image_names_the_version_and_the_licence() -> None:
    assert labels()["org.opencontainers.image.version"] == PROJECT["project"]["version"]
    assert labels()["org.opencontainers.image.licenses"] == PROJECT["project"]["license"]


def test_image_sets_user_health_check_and_entry_point_after_its_files() -> None:
    found = re.findall(r"(?m)^[A-Z]+(?= )", DOCKERFILE.read_text().rpartition("\nFROM ")[2])
    after_user = set(found[found.index("USER") :])

    assert {"HEALTHCHECK", "ENTRYPOINT"} <= after_user
    assert not {"RUN", "COPY", "ADD"} & after_user
