"""The container image as a directory: the project's wheel and the packages of runtime.lock, run as plain processes.

Only these packages can be imported, so a module that the image lacks is missing here as well.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from docker.utils.build import exclude_paths
from packaging.requirements import Requirement

from tests.support.containers import DOCKERFILE, ROOT, image_environment, instructions, services

RUNTIME_LOCK = DOCKERFILE.with_name("runtime.lock")


@dataclass(frozen=True, slots=True)
class Image:
    """An image whose packages are in *site*."""

    site: Path

    def environ(self, service: str, changes: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of *service* in the compose file, with *changes* for this machine."""
        environment = image_environment() | services()[service]["environment"] | changes
        return {**environment, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(self.site)}

    def command(self, argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
        """Return the command line that runs *argv* with *environ* and no other variable."""
        variables = [f"{name}={value}" for name, value in environ.items()]
        program = [] if argv[0] == "python" else ["-c", "from deploy.cli import main; main()"]
        return ["/usr/bin/env", "-i", *variables, sys.executable, "-S", "-P", *program, *argv[1:]]

    def run(self, argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run *argv* and wait for its end."""
        command = self.command(argv, environ)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=self.site)


def build(directory: Path, root: Path = ROOT) -> Image:
    """Build the image of the tree *root* below *directory*."""
    image = Image(directory / "site")
    image.site.mkdir(parents=True)
    with zipfile.ZipFile(_wheel(directory, root)) as wheel:
        wheel.extractall(image.site)
    for line in re.findall(r"(?m)^([a-zA-Z0-9][^\\\n]+)", RUNTIME_LOCK.read_text()):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            _link(metadata.distribution(requirement.name), image.site)
    return image


def build_context(root: Path) -> set[str]:
    """Return the files below *root* that .dockerignore lets through, as Docker's client selects them."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    return {file for file in exclude_paths(str(root), patterns) if (root / file).is_file()}


def _wheel(directory: Path, root: Path) -> Path:
    """Build the wheel of the tree *root* from the files that the Dockerfile copies and .dockerignore lets through."""
    context = directory / "context"
    copied = tuple(f"{word}/" for value in instructions("COPY") for word in value.split()[:-1])
    for file in build_context(root):
        if f"{file}/".startswith(copied):
            (context / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, context / file)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (wheel,) = directory.glob("*.whl")
    return wheel


def _link(distribution: metadata.Distribution, site: Path) -> None:
    """Link the files of *distribution* into *site*, but not its commands."""
    for file in distribution.files or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            link = site / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(str(file.locate()))
