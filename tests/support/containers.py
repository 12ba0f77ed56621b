"""Readers of the container files, for tests: `docker-compose.yml`, the Dockerfile and what is sent to build it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.utils.build import exclude_paths
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"

_PLACEHOLDER = re.compile(r"\$\{([A-Z_0-9]+):-([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, its continuation lines joined."""

    name: str
    value: str


def dockerfile() -> list[Instruction]:
    """Return the instructions of the Dockerfile in order."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    instructions = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(name, " ".join(value.split())) for name, value in instructions]


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage; the last one is the image."""
    found: list[list[Instruction]] = []
    for instruction in dockerfile():
        if instruction.name == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def image_environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    pairs = [pair for item in stages()[-1] if item.name == "ENV" for pair in item.value.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def copied() -> list[str]:
    """Return what the build stage copies out of the directory it is built from."""
    values = [item.value.split() for item in dockerfile() if item.name == "COPY"]
    return [source for words in values if not words[0].startswith("--from") for source in words[:-1]]


def build_context() -> set[str]:
    """Return the files that .dockerignore lets through, by Docker's own client."""
    patterns = [line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines()]
    wanted = [pattern for pattern in patterns if pattern and not pattern.startswith("#")]
    sent = {path for path in exclude_paths(str(ROOT), wanted) if (ROOT / path).is_file()}
    return sent - {".dockerignore"}  # always sent, and never part of an image


def compose(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the compose file with its anchors resolved, and its variables from *environ* or their defaults."""
    found: dict[str, Any] = _fill(YAML(typ="safe").load(COMPOSE_FILE.read_text()), environ or {})
    return found


def services(environ: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    found: dict[str, dict[str, Any]] = compose(environ)["services"]
    return found


def _fill(value: Any, environ: Mapping[str, str]) -> Any:
    """Replace variables as Compose does: in the values, after the file was read."""
    if isinstance(value, dict):
        return {name: _fill(item, environ) for name, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    filled = _PLACEHOLDER.sub(lambda match: environ.get(match[1]) or match[2], value)
    assert "$" not in filled, f"a variable without a default: {value}"
    return filled


def interpolated() -> dict[str, str]:
    """Return the variables that the compose file takes from outside, and their defaults."""
    return dict(_PLACEHOLDER.findall(COMPOSE_FILE.read_text()))


def pins(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return each requirement line of *lock* (name, version and marker) with what it pins: its version and hashes."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for block in re.split(r"(?m)^(?=[a-zA-Z0-9])", lock.read_text()):
        if match := re.match(r"([a-zA-Z0-9._-]+)==(\S+)( ; [^\\\n]+)?", block):
            key = match[1] + (match[3] or "").rstrip()
            found[key] = (match[2], frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", block)))
    return found
