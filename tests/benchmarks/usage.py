"""CPU time and peak memory of processes during a measurement."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

import psutil

from deploy.embedded import kafka

_EVERY_SECONDS = 0.1
_MIB = 1024 * 1024


@dataclass(slots=True)
class Usage:
    """CPU seconds and peak MiB of each process; complete when the measurement ends."""

    cpu_seconds: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)

    def per_million(self, events: float) -> dict[str, float]:
        """Return CPU seconds per million events, for *events* processed events."""
        return {name: seconds * 1e6 / events for name, seconds in self.cpu_seconds.items()} if events else {}


@asynccontextmanager
async def measured(pids: Mapping[str, int]) -> AsyncIterator[Usage]:
    """Measure the processes *pids* (name to process ID) for the duration of the block."""
    usage = Usage()
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: _cpu(process) for name, process in processes.items()}

    def look() -> None:
        for name, process in processes.items():
            usage.peak_mib[name] = max(usage.peak_mib.get(name, 0.0), _memory(process))
            # Sampled continuously, because a process that has exited can no longer be read.
            usage.cpu_seconds[name] = max(usage.cpu_seconds.get(name, 0.0), _cpu(process) - before[name])

    async def watch() -> None:
        while True:
            look()
            await asyncio.sleep(_EVERY_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield usage
    finally:
        watching.cancel()
        look()


def machine() -> dict[str, str]:
    """Describe the machine: figures depend on it."""
    memory = psutil.virtual_memory().total / (_MIB * 1024)
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "kafka": kafka.VERSION,
        "chdb": version("chdb"),
        "load at the start": " ".join(f"{load:.1f}" for load in psutil.getloadavg()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  # procfs
            models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.processor()


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / _MIB)
    except psutil.NoSuchProcess:
        return 0.0
