"""The container image without a container engine: the same files, commands and environment, as plain processes.

The project is a wheel built from what the Dockerfile copies, and beside it lies what runtime.lock pins, nothing else of
this machine's Python; so a module that the image would lack is missing here as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.containers import DOCKERFILE, ROOT, build_context, copied, image_environment, pins, services, stages

RUNTIME_LOCK = DOCKERFILE.with_name("runtime.lock")


@dataclass(frozen=True, slots=True)
class Image:
    """An image, laid out below *directory*."""

    directory: Path

    @property
    def site(self) -> Path:
        """Where its packages are."""
        return self.directory / "site"

    def environ(self, service: str, changes: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of *service* as Compose makes it, with what is elsewhere on this machine changed."""
        given = image_environment() | services()[service]["environment"] | changes
        return {**given, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.site)}

    def command(self, argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """Return the command line that runs *argv* of the image with *environ* and no other variable."""
        variables = [f"{name}={value}" for name, value in environ.items()]
        return ["/usr/bin/env", "-i", *variables, sys.executable, "-S", "-P", *self._program(argv[0]), *argv[1:]]

    def run(self, argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run *argv* of the image to its end."""
        command = self.command(argv, environ)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=self.directory)

    def _program(self, name: str) -> list[str]:
        if name == "python":
            return []
        scripts = metadata.Distribution.discover(name="sequence-events", path=[str(self.site)])
        (script,) = next(iter(scripts)).entry_points.select(group="console_scripts", name=name)
        return ["-c", f"import sys; from {script.module} import {script.attr}; sys.exit({script.attr}())"]


def service_command(service: str) -> list[str]:
    """Return what *service* of the compose file runs: its own words, otherwise the image's."""
    found = services()[service]
    defaults = {item.name: json.loads(item.value) for item in stages()[-1] if item.name in {"ENTRYPOINT", "CMD"}}
    return [*found.get("entrypoint", defaults["ENTRYPOINT"]), *found.get("command", defaults["CMD"])]


def health_command() -> list[str]:
    """Return what the image's health check runs."""
    (check,) = (item.value for item in stages()[-1] if item.name == "HEALTHCHECK")
    command: list[str] = json.loads(check.partition(" CMD ")[2])
    return command


def build(directory: Path) -> Image:
    """Lay out the image below *directory*."""
    image = Image(directory)
    image.site.mkdir(parents=True)
    with zipfile.ZipFile(_wheel(directory)) as wheel:
        wheel.extractall(image.site)
    for line in pins(RUNTIME_LOCK):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            _link(metadata.distribution(requirement.name), image.site)
    return image


def _wheel(directory: Path) -> Path:
    """Build the project's wheel from the files that the Dockerfile copies."""
    context = directory / "context"
    for file in build_context():
        if any(file == source or file.startswith(f"{source}/") for source in copied()):
            (context / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, context / file)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def _link(distribution: metadata.Distribution, site: Path) -> None:
    """Put the files of *distribution* into *site*, but not its commands."""
    for file in distribution.files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            place = site / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(str(file.locate()))
