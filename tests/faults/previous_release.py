"""The previous release, in an environment of its own, and the services that run from it.

`Stack` with the variable `PREVIOUS` runs gateways and workers of the release until `upgrade` replaces them one by one.
Kafka, ClickHouse and the supervisor are those of this version.

`python -m tests.faults.previous_release` prints what the release writes, for `tests/unit/test_previous_release.py`.
"""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from deploy import topics
from deploy.local import stack as local_stack
from deploy.local.supervisor import Service
from deploy.settings import LocalSettings, cache_directory
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, environment
from tests.support import release_formats
from tests.support.documents import ROOT
from tests.support.release import CONSTRAINTS, build_wheel

COMMIT = "9032275d55934c45e339e5efbf1f05502a73e588"  # pragma: allowlist secret
"""The newest commit of version 0.1.0. The next release changes this line."""
PREVIOUS = "SEQUENCE_TEST_PREVIOUS"
"""Python of the environment of the previous release."""
_UPGRADED = "upgraded"
_MODULE = "-m"


def install() -> Path:
    """Return the Python that runs the previous release: its wheel, in an environment in the cache of downloads.

    With the versions of its dependencies that it was released with, and without Kafka and ClickHouse.
    """
    directory = cache_directory(LocalSettings()) / f"release-{COMMIT[:12]}"
    directory.mkdir(parents=True, exist_ok=True)
    python, complete = directory / "environment" / "bin" / "python", directory / "complete"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            _install(directory, python)
            complete.touch()
    return python


def _install(directory: Path, python: Path) -> None:
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        sources = Path(temporary)
        files.extractall(sources, filter="data")
        wheel = build_wheel(directory, sources, epoch=1_700_000_000)
        venv.create(python.parents[1], clear=True)
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile"]
        command += ["--constraint", str(sources / CONSTRAINTS), str(wheel)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)


def provision(python: str) -> None:
    """Let the local stack create its topics and tables with the previous release, which *python* runs."""

    async def apply(kafka: KafkaSettings, wanted: TopicSettings) -> None:
        _run(python, {**environment(kafka), **environment(wanted)}, "topics", "apply")

    def migrate(settings: ClickHouseSettings) -> None:
        _run(python, environment(settings), "tables", "migrate")

    _replace(topics, "apply", apply)
    _replace(local_stack, "_migrate", migrate)


def _run(python: str, environ: Mapping[str, str], *arguments: str) -> None:
    command = [python, "-I", _MODULE, "deploy.cli", *arguments]
    subprocess.run(command, env={**os.environ, **environ}, check=True, stdin=subprocess.DEVNULL, timeout=120)


def _replace(owner: object, name: str, value: Any) -> None:
    getattr(owner, name)
    setattr(owner, name, value)


def released(service: Service, state: Path) -> Service:
    """Return *service*, which runs from the previous release while `upgraded` does not name it."""
    python, make = os.environ.get(PREVIOUS), service.command
    if not python:
        return service

    def command() -> Sequence[str]:
        own = list(make())
        if upgraded(state, service.name).exists():
            return own
        return [python, "-I", _MODULE, "deploy.cli", *own[own.index(_MODULE) + 2 :]]

    return replace(service, command=command)


def upgraded(state: Path, service: str) -> Path:
    """Return the file that exists while *service* is of this version."""
    return state.parent / _UPGRADED / service


def is_previous(pid: int, python: str) -> bool:
    """Return whether process *pid* runs from the previous release, whose Python is *python*."""
    try:
        return bool(psutil.Process(pid).cmdline()[:1] == [python])
    except psutil.Error:
        return False


if __name__ == "__main__":
    subprocess.run([install(), "-I", release_formats.__file__], check=True)
