"""The processes of a local stack: whether its workers answer and are ready, and what is wrong with each process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec

from deploy.operate.finding import Finding
from deploy.operate.status_result import SUSPENDED, Process, Status
from deploy.settings import LocalSettings
from processors.settings import WORKERS
from schemas.settings import load
from schemas.times import parse_time

MANY_RESTARTS = 2
"""Recent restarts that are reported until the process is stable."""
STABLE_SECONDS = 120.0
"""A process that has run this long is stable."""
NO_ANSWER = "no answer"
"""State of a worker that does not answer. Other words but `suspended` are those of `/health/ready`."""
_ANSWER_SECONDS = 3.0
_STARTING_SECONDS = 30.0
"""Time in which a process need not answer."""


class _Answer(msgspec.Struct):
    """What `/health/ready` of a worker says."""

    status: str
    message: str = ""


def workers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the address of each worker of the local stack; of none if the system chooses the ports."""
    local = load(LocalSettings, environ)
    names = [f"{kind}-{number}" for kind in WORKERS for number in range(1, local.workers + 1)]
    if not local.metrics_port:
        return {}
    return {name: f"http://127.0.0.1:{local.metrics_port + number}" for number, name in enumerate(names)}


async def ask(processes: Sequence[Process], addresses: Mapping[str, str]) -> None:
    """Fill in the state of *processes*: of those with an address, what they answer."""
    await asyncio.gather(*(_ask(each, addresses.get(each.name)) for each in processes if each.pid is not None))


async def _ask(process: Process, address: str | None) -> None:
    if process.pid is not None and _is_suspended(process.pid):
        process.state, process.about = SUSPENDED, "It was suspended by SIGSTOP, or by Ctrl-Z in its terminal."
    elif address is not None:
        process.state, process.about = await _readiness(address)


def name_states(status: Status) -> None:
    """Give servers, gateways and stages of *status* the states of their processes, which are known."""
    suspended = {each.name for each in status.processes if each.state == SUSPENDED}
    for server in (status.kafka, status.clickhouse):
        state = "up" if server.is_up else "down"
        server.state = SUSPENDED if server.name.lower() in suspended else state
    names = [each.name for each in status.processes if each.name.startswith("gateway-")]
    for number, gateway in enumerate(status.gateways):
        state = "ready" if gateway.is_ready else "not ready"
        is_own = len(names) == len(status.gateways) and names[number] in suspended
        gateway.state = SUSPENDED if is_own else state
    for stage in status.stages:
        stage.suspended = sum(each.startswith(f"{stage.name}-") for each in suspended)


def _is_suspended(pid: int) -> bool:
    """Return whether process *pid* is stopped, where the system tells."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


async def _readiness(address: str) -> tuple[str, str]:
    """Return the state of the worker at *address*, and its message."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{address}/health/ready") as response,
        ):
            answer = msgspec.json.decode(await response.read(), type=_Answer)
    except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
        return NO_ANSWER, f"{address} does not answer ({type(error).__name__})."
    return answer.status, answer.message


def judge(status: Status) -> Iterator[Finding]:
    """Yield what is wrong with the processes."""
    for process in status.processes:
        ended = f" It last ended at {process.restarted_at}: it {process.restarted_because}" if process.restarts else ""
        if process.pid is None:
            yield Finding(
                level="error",
                check=process.name,
                what=f"The process {process.name} of the local stack does not run.{ended}",
                why="`sequence up` starts it again; a process that ends again and again has a cause.",
                remedy=f"Read {process.log}.",
                since=process.restarted_at,
            )
            continue
        if process.recent_restarts >= MANY_RESTARTS and _age(status.at, process.restarted_at) < STABLE_SECONDS:
            yield Finding(
                level="warning",
                check=process.name,
                what=f"{process.name} was restarted {process.recent_restarts} times of late.{ended}",
                why="No item is lost, but what it had begun is done again each time.",
                remedy=f"Correct the cause. Read {process.log}. The warning ends once the process has run for "
                f"{STABLE_SECONDS:.0f} s.",
                since=process.first_of_recent,
            )
        yield from _unready(process, status.at)


def _unready(process: Process, now: str) -> Iterator[Finding]:
    """Yield that *process* is suspended, does not answer, or is a worker that is not ready."""
    if process.state == SUSPENDED:
        yield Finding(
            level="error",
            check=process.name,
            what=f"The process {process.name} ({process.pid}) is suspended.",
            why=f"{process.about} It does nothing, and `sequence up` does not start another one.",
            remedy=f"Let it continue: `kill -CONT {process.pid}`.",
        )
    elif process.state == NO_ANSWER and _age(now, process.started_at) > _STARTING_SECONDS:
        yield Finding(
            level="error",
            check=process.name,
            what=f"The process {process.name} ({process.pid}) hangs or does not get ready: {process.about}",
            why="Other workers of its kind take its partitions over, if there are any. Nothing is lost.",
            remedy=f"Read {process.log}. If it hangs, end it: `kill -9 {process.pid}`. `sequence up` starts it again.",
        )
    elif process.state not in (None, "ready", NO_ANSWER) and _age(now, process.started_at) > _STARTING_SECONDS:
        yield Finding(
            level="warning",
            check=process.name,
            what=f"{process.name} is not ready, {process.state}: {process.about}",
            why="It does not process all of its partitions.",
            remedy=f"Run the command again in 30 s. If it lasts, read {process.log}.",
        )


def _age(now: str, then: str | None) -> float:
    """Return the seconds between two times, as records have them."""
    return 0.0 if then is None else (parse_time(now) - parse_time(then)) / 1e6
