"""A release as its user gets it: its files, and the wheel in an environment and a directory that have nothing else."""

from __future__ import annotations

import email
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.settings import LocalSettings, cache_directory
from tests.support.documents import ROOT, Page
from tests.support.image import build_context
from tests.support.inspection import files
from tests.support.local_stack import Stack
from tests.support.release import CONSTRAINTS, NOTES, SUMS, Release, build, build_wheel, unpack
from tests.support.services import eventually, fetched_jars, free_port

EPOCH = 1_700_000_000
PACKAGES = ("gateway/", "processors/", "schemas/", "deploy/")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    # A relative directory, as `make release` has it.
    directory = Path(os.path.relpath(tmp_path_factory.mktemp("dist")))
    release = build(directory, ROOT, EPOCH)
    return Release(release.sdist.absolute(), release.wheel.absolute())


@pytest.fixture(scope="module")
def sources(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the source distribution."""
    return unpack(release.sdist, tmp_path_factory.mktemp("sources"))


def test_wheel_has_every_file_of_the_packages_and_nothing_else(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert packed == {name for name in files() if name.startswith(PACKAGES)}


def test_sums_are_those_of_every_other_file(release: Release) -> None:
    directory = release.wheel.parent
    done = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=directory, capture_output=True, check=False)

    assert done.returncode == 0, done.stdout
    listed = {line.split()[1] for line in (directory / SUMS).read_text().splitlines()}
    assert listed == {path.name for path in directory.iterdir()} - {SUMS}


def test_same_files_and_time_give_the_same_bytes(release: Release, sources: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(sources, copy, copy_function=shutil.copyfile)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() else 0o600)

    again, later = build_wheel(tmp_path / "a", copy, EPOCH), build_wheel(tmp_path / "b", copy, EPOCH + 60)

    assert again.read_bytes() == release.wheel.read_bytes()
    assert later.read_bytes() != release.wheel.read_bytes()


def test_description_has_no_link_that_leads_to_a_file_of_the_checkout(release: Release, tmp_path: Path) -> None:
    with zipfile.ZipFile(release.wheel) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(wheel.read(name))
    description = Page(tmp_path / "description.md")
    description.path.write_text(str(metadata.get_payload()))

    assert metadata["Description-Content-Type"] == "text/markdown"
    assert [link for link in description.links() if not link.startswith(("https://", "#"))] == []
    assert set(re.findall(r"`(docs/[\w-]+\.md)`", description.text)) <= set(files())
    assert "`docs/http.md`" in description.text


def test_wheel_has_the_licences_that_its_metadata_names(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        named = email.message_from_bytes(wheel.read(name)).get_all("License-File", [])
        packed = {name.partition(".dist-info/licenses/")[2] for name in wheel.namelist()} - {""}

    assert {"LICENSE", "THIRD-PARTY.md"} < packed
    assert set(named) == packed


def test_notes_are_those_of_the_version_and_name_the_wheel(release: Release) -> None:
    notes = (release.wheel.parent / NOTES).read_text()

    assert re.match(r"# Sequence events \d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)\n", notes)
    assert f"'{release.wheel.name}[local]'" in notes
    assert "Unreleased" not in notes


def test_source_distribution_has_what_the_image_is_built_from(sources: Path) -> None:
    assert build_context(sources) == build_context(ROOT)
    assert (sources / "deploy" / "docker" / "Dockerfile").is_file()


class Installation:
    """An environment that has only what pip installed into it, and an empty directory in which a user works."""

    def __init__(self, directory: Path, release: Release) -> None:
        self.environment, self.work = directory / "environment", directory / "work"
        self.work.mkdir()
        self.constraints = release.wheel.parent / CONSTRAINTS
        self.environ = {"PATH": "/usr/bin:/bin", "HOME": str(directory)}
        self.sequence = self.environment / "bin" / "sequence"
        venv.create(self.environment)
        self.pip("install", str(release.wheel))

    def pip(self, *arguments: str) -> None:
        """Run `pip` with *arguments*, without the compilation of what it installs, which the first import does."""
        command = [sys.executable, "-m", "pip", "--python", str(self.environment / "bin" / "python"), *arguments]
        options = ["--quiet", "--no-compile", "--constraint", str(self.constraints)]
        done = subprocess.run([*command, *options], cwd=self.work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sequence` with *arguments*."""
        command = [str(self.sequence), *arguments]
        return subprocess.run(
            command, cwd=self.work, env=self.environ, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def installation(release: Release, tmp_path: Path) -> Installation:
    return Installation(tmp_path, release)


@pytest.fixture
def stack(installation: Installation, tmp_path: Path) -> Iterator[Stack]:
    """`sequence up` of the installation, not yet started."""
    stack = Stack(tmp_path)
    stack.program, stack.cwd, stack.state = (str(installation.sequence),), installation.work, Path(".sequence")
    fetched_jars()  # Maven Central is asked once for all tests
    own = {name: value for name, value in stack.environ.items() if name.startswith("SEQUENCE_")}
    stack.environ = {**installation.environ, **own, "SEQUENCE_CACHE_DIR": str(cache_directory(LocalSettings()))}
    del stack.environ["SEQUENCE_STATE_DIR"]
    yield stack
    stack.kill()


@pytest.mark.timeout(300)
def test_wheel_runs_the_whole_pipeline_in_an_empty_environment(installation: Installation, stack: Stack) -> None:
    assert installation.run("--version").stdout == "sequence, version 0.1.0\n"
    assert gateway_without_the_extra(installation) == "no broker answered"

    missing = installation.run("up")
    assert missing.returncode == 1
    assert not list(installation.work.iterdir())
    pip, *arguments = shlex.split(missing.stderr.partition("Install them with: ")[2])
    assert (pip, arguments) == ("pip", ["install", "sequence-events[local]"])
    installation.pip(*arguments)

    stack.start()
    assert stack.post("Released")["accepted"] == 2
    assert console(stack, "test/accepted?project=dev&event=Released")["count"] == 1
    assert console(stack, "openapi.json")["info"]["title"] == "Sequence console"
    eventually(lambda: stack.stored("Released") == 1, "the event is in ClickHouse")
    assert len(stack.rows("Released")) == 1
    assert [path.name for path in installation.work.iterdir()] == [".sequence"]
    assert stack.send(signal.SIGTERM) == 0


def console(stack: Stack, path: str) -> Any:
    """Return what the console of *stack* answers to an operator."""
    assert stack.cwd is not None
    token = (stack.cwd / stack.state / "operate-token").read_text().strip()
    url, headers = f"http://127.0.0.1:{stack.console}/{path}", {"Authorization": f"Bearer {token}"}
    replies: list[requests.Response] = []

    def answers() -> bool:
        replies.append(requests.get(url, headers=headers, timeout=20))
        return replies[-1].status_code != 503

    # It runs before it has read the tokens.
    eventually(answers, "the console has read the tokens")
    assert replies[-1].status_code == 200, replies[-1].text
    return replies[-1].json()


def gateway_without_the_extra(installation: Installation) -> str:
    """Start a gateway for a Kafka that is not there, and return what it says when it needs nothing else."""
    ports = {"SEQUENCE_KAFKA_SERVERS": f"127.0.0.1:{free_port()}", "SEQUENCE_GATEWAY_PORT": str(free_port())}
    output = installation.work.parent / "gateway"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [str(installation.sequence), "gateway"],
            cwd=installation.work,
            env=installation.environ | ports,
            stdout=file,
            stderr=file,
        ) as process,
    ):
        try:
            said = f"no broker at {ports['SEQUENCE_KAFKA_SERVERS']} answered"
            eventually(
                lambda: said in output.read_text() or process.poll() is not None, "the gateway says what it lacks"
            )
            assert process.poll() is None, output.read_text()
        finally:
            process.terminate()
    return "no broker answered"
