"""Readers of `docker-compose.yml` and the Dockerfile, for tests on machines without a Docker engine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"

_VARIABLE = re.compile(r"\$\{([A-Z_0-9]+):-([^}]*)\}")


def compose(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the compose file with its variables replaced from *environ* or by their defaults."""
    found: dict[str, Any] = _interpolate(_parsed(), environ or {})
    return found


@cache
def _parsed() -> Any:
    return YAML(typ="safe").load(COMPOSE_FILE.read_text())


def services(environ: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the services of the compose file by name."""
    found: dict[str, dict[str, Any]] = compose(environ)["services"]
    return found


def without_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return *environment* without the files of secrets, which are in the containers only."""
    return {name: value for name, value in environment.items() if not name.endswith("_PASSWORD_FILE")}


def mounted(service: str, volume: str) -> str:
    """Return where *service* mounts *volume*, an empty text if it does not."""
    for mount in services()[service].get("volumes", []):
        source, target = (mount["source"], mount["target"]) if isinstance(mount, dict) else f"{mount}:".split(":")[:2]
        if source == volume:
            return str(target)
    return ""


def variables() -> dict[str, str]:
    """Return the variables that the compose file interpolates, with their defaults."""
    return dict(_VARIABLE.findall(COMPOSE_FILE.read_text()))


def instructions(name: str) -> list[str]:
    """Return the values of instruction *name* in the Dockerfile, continuation lines joined."""
    text = re.sub(r"(?m)^ *#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [" ".join(value.split()) for value in re.findall(rf"(?m)^{name} (.*)$", text)]


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets: the last ENV instruction."""
    return dict(pair.split("=", 1) for pair in instructions("ENV")[-1].split())


def labels() -> dict[str, str]:
    """Return the labels of the image."""
    return dict(word.split("=", 1) for value in instructions("LABEL") for word in shlex.split(value))


def service_command(service: str) -> list[str]:
    """Return the command line of *service*: its own entry point and command, otherwise the image's."""
    found = services()[service]
    entry_point, command = (json.loads(instructions(name)[-1]) for name in ("ENTRYPOINT", "CMD"))
    return [*found.get("entrypoint", entry_point), *found.get("command", command)]


def health_command() -> list[str]:
    """Return the command line of the image's health check."""
    command: list[str] = json.loads(instructions("HEALTHCHECK")[-1].partition(" CMD ")[2])
    return command


def _interpolate(value: Any, environ: Mapping[str, str]) -> Any:
    """Replace variables in every text of *value*."""
    if isinstance(value, dict):
        return {name: _interpolate(item, environ) for name, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda match: environ.get(match[1]) or match[2], value)
