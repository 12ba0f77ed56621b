"""Builds a release into a directory: `python -m tests.support.release DIRECTORY`, as `make release` does.

The wheel is built from the source distribution, so the latter is complete. Both have the time of the commit in them, so
the same commit gives the same bytes. Nothing is built from a tree that differs from its commit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.support.documents import ROOT

NOTES, SUMS, CONSTRAINTS = "RELEASE_NOTES.md", "SHA256SUMS", "constraints.txt"
_VERSIONS = re.compile(r"^## (?=\[)", re.MULTILINE)
_INSTALL = """

### Install

```bash
sha256sum --check SHA256SUMS
python3 -m venv sequence
sequence/bin/pip install -c constraints.txt '{wheel}[local]'
sequence/bin/sequence up
```

`constraints.txt` has the version of each dependency with which this release was tested. Leave out `[local]` where Kafka
and ClickHouse run elsewhere. The source distribution contains the documentation and builds the container image.
"""


@dataclass(frozen=True, slots=True)
class Release:
    """The files of a release."""

    sdist: Path
    wheel: Path


def build(directory: Path, root: Path, epoch: int) -> Release:
    """Build the files of the release of the tree *root* into *directory*; *epoch* is the time in the archives."""
    directory.mkdir(parents=True, exist_ok=True)
    sdist = build_sdist(directory, root, epoch)
    with tempfile.TemporaryDirectory() as temporary:
        wheel = build_wheel(directory, unpack(sdist, Path(temporary)), epoch)
    shutil.copyfile(root / CONSTRAINTS, directory / CONSTRAINTS)
    (directory / NOTES).write_text(notes(root, wheel.name), encoding="utf-8")
    files = [sdist, wheel, directory / CONSTRAINTS, directory / NOTES]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (directory / SUMS).write_text("".join(sums), encoding="ascii")
    return Release(sdist, wheel)


def build_sdist(directory: Path, root: Path, epoch: int) -> Path:
    """Build the source distribution of the tree *root* into *directory* and return it; *epoch* is the time in it."""
    return _hatchling("sdist", root, directory, epoch)


def build_wheel(directory: Path, root: Path, epoch: int) -> Path:
    """Build the wheel of the tree *root* into *directory* and return it; *epoch* is the time in it."""
    return _hatchling("wheel", root, directory, epoch)


def unpack(sdist: Path, directory: Path) -> Path:
    """Unpack *sdist* below *directory* and return its tree."""
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    return directory / sdist.name.removesuffix(".tar.gz")


def notes(root: Path, wheel: str) -> str:
    """Return the release notes: what the changelog says of this version, and how to install *wheel*."""
    _, latest = _latest(root)
    title, _, changes = latest.partition("\n")
    name = re.sub(r"\[(.*)\] - (.*)", r"Sequence events \1 (\2)", title)
    return f"# {name}\n{changes.rstrip()}{_INSTALL.format(wheel=wheel)}"


def problems(root: Path) -> list[str]:
    """Return a sentence for each reason not to release the tree *root*."""
    found = []
    if changed := _git(root, "status", "--porcelain").splitlines():
        others = f" and {len(changed) - 1} other files" if len(changed) > 1 else ""
        found.append(f"Not committed: {changed[0][3:]}{others}. Commit or remove {'them' if others else 'it'}.")
    version = _version(root)
    unreleased, latest = _latest(root)
    if re.search(r"^- ", unreleased, re.MULTILINE):
        found.append(
            f"CHANGELOG.md has changes under Unreleased, which the release would contain. Move them to {version}, or "
            "raise the version in pyproject.toml."
        )
    if not re.match(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n", latest):
        found.append(
            f"pyproject.toml has version {version}, but CHANGELOG.md begins with {latest.partition(chr(10))[0]}. "
            "Give the version a heading with its date."
        )
    return found


def _version(root: Path) -> str:
    version: str = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return version


def _latest(root: Path) -> tuple[str, str]:
    """Return the parts of the changelog about what follows and about the latest version, each with its heading."""
    _, unreleased, latest, *_ = [*_VERSIONS.split((root / "CHANGELOG.md").read_text(encoding="utf-8")), "", ""]
    return unreleased, latest


def _hatchling(target: str, root: Path, directory: Path, epoch: int) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory.absolute())]
    environ = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stderr)
    [built] = directory.glob(f"*-{_version(root)}{'.tar.gz' if target == 'sdist' else '-*.whl'}")
    return built


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Build the release into the directory that the command line names and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.release")
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    found = problems(ROOT)
    if directory.exists() and any(directory.iterdir()):
        found.append(f"{directory} is not empty. Remove it.")
    if found:
        sys.stderr.write("\n".join(["Nothing was built.", *found, ""]))
        return 1
    build(directory, ROOT, int(_git(ROOT, "log", "-1", "--format=%ct")))
    sys.stdout.write((directory / SUMS).read_text(encoding="ascii"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
