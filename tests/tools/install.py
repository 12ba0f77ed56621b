"""Installs the tools as they come from their lock files into the cache, once for each lock file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.sdk.install import NODE, PIP, go_program, installed_once, java_program, node_packages

HERE = Path(__file__).parent
PYTHON_LOCK = HERE / "python" / "requirements.lock"
SUPERSET_LOCK = HERE / "superset" / "requirements.lock"
NODE_LOCK = HERE / "node" / "package-lock.json"
JAVA_LOCK = HERE / "java" / "jars.txt"
GO_LOCK = HERE / "go" / "go.sum"


@dataclass(frozen=True, slots=True)
class Program:
    """The command of a tool's program, and its environment beside that of this process."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def python_environment(lock: Path) -> Path:
    """Return the folder of the programs of a virtual environment with the packages of *lock*."""

    def install(directory: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        python = str(directory / "bin" / "python")
        subprocess.run([python, *PIP, "install", "--require-hashes", "-r", str(lock)], check=True)

    return installed_once(f"tools-{lock.parent.name}", lock, install) / "bin"


def python(*arguments: str) -> Callable[[], Program]:
    """Return what installs the Python tools and makes a command of *arguments*, the first of which is a program."""

    def make() -> Program:
        program, *others = arguments
        return Program((str(python_environment(PYTHON_LOCK) / "python"), str(HERE / "python" / program), *others))

    return make


def superset() -> Program:
    """Return the command of the program in Superset's environment."""
    config = {"SUPERSET_CONFIG_PATH": str(HERE / "superset" / "superset_config.py")}
    python = str(python_environment(SUPERSET_LOCK) / "python")
    return Program((python, str(HERE / "superset" / "read_superset.py")), config)


def node() -> Program:
    """Return the command of the program for Node."""
    directory = node_packages("tools-node", NODE_LOCK)
    return Program((str(NODE), str(HERE / "node" / "read.mjs")), {"TOOLS_DIRECTORY": str(directory)})


def java() -> Program:
    """Return the command of the compiled program for Java. Raises `MissingToolError` without a JDK."""
    return Program(java_program("tools-java", JAVA_LOCK, "Read")[1])


def go() -> Program:
    """Return the compiled program for Go. Raises `MissingToolError` without Go."""
    return Program((str(go_program("tools-go", GO_LOCK, "read")),))
