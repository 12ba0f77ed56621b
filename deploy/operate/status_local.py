"""The processes of a local stack, from its state directory: process ids, start times, restarts and last warnings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from deploy.failure import last_warning
from deploy.local import restarts
from deploy.operate import status_settings
from deploy.operate.servers import Servers
from deploy.operate.status_result import Process
from deploy.settings import LocalSettings, broker_directories, state_directory
from gateway.settings import GatewaySettings
from schemas.settings import load

_ALWAYS = ("clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1", "console")
_ORDER = ("kafka", "clickhouse", "gateway", "dedupe", "persons", "sink", "console")
_TAIL_BYTES = 128 * 1024


def directory(environ: Mapping[str, str]) -> Path:
    """Return the state directory of the local stack that *environ* configures."""
    return state_directory(load(LocalSettings, environ))


def directory_of(servers: Servers, environ: Mapping[str, str]) -> Path | None:
    """Return the state directory of *servers*, None if they are not the local stack."""
    return directory(environ) if servers.is_local else None


def gateways(state: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the addresses of the gateways that run."""
    settings = load(GatewaySettings, environ)
    numbers = sorted(int(file.stem.removeprefix("gateway-")) for file in (state / "run").glob("gateway-*.pid"))
    return [f"{settings.scheme}://127.0.0.1:{settings.port + number - 1}" for number in numbers]


def gateways_to_ask(given: Sequence[str], state: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Return the addresses of *given*, else those of the setting, else of the gateways of the local stack in *state*.

    Raises `SettingsError` if one of the setting is not an address.
    """
    return list(given) or status_settings.configured(environ) or ([] if state is None else gateways(state, environ))


def processes(state: Path) -> list[Process]:
    """Return the processes of the stack that runs on the directory *state*, in the order of the flow."""
    running = {file.stem: file for file in (state / "run").glob("*.pid")}
    brokers = [directory.name for directory in broker_directories(state)] or ["kafka"]
    names = {*brokers, *_ALWAYS, *running}
    ordered = sorted(names, key=lambda name: (_ORDER.index(name.rpartition("-")[0] or name), name))
    return [_process(state, name, running.get(name)) for name in ordered]


def _process(state: Path, name: str, pid_file: Path | None) -> Process:
    log = state / "logs" / f"{name}.log"
    pid, started = None, None
    with suppress(OSError, ValueError):
        if pid_file is not None:
            pid, started = int(pid_file.read_text()), pid_file.stat().st_mtime
    if pid is None or not _exists(pid):
        pid, started = None, None
    at, text = _last_warning(_tail(log))
    restarted = restarts.read(state / "run", name)
    return Process(
        name=name,
        pid=pid,
        started_at=None if started is None else f"{datetime.fromtimestamp(started, UTC):%Y-%m-%dT%H:%M:%SZ}",
        restarts=0 if restarted is None else restarted.count,
        restarted_at=None if restarted is None else restarted.at,
        restarted_because=None if restarted is None else restarted.reason,
        recent_restarts=0 if restarted is None else len(restarted.recent),
        first_of_recent=None if restarted is None else restarted.recent[0],
        last_warning=text,
        last_warning_at=at,
        log=str(log),
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _last_warning(lines: Sequence[str]) -> tuple[str | None, str | None]:
    """Return time and text of the last line at WARNING or above."""
    for line in reversed(lines):
        if (cause := last_warning([line])) is not None:
            return next(_times(line), None), cause.text
    return None, None


def _times(line: str) -> Iterator[str]:
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(line)["time"]) if line.startswith("{") else line.partition(" ")[0]
        yield f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
