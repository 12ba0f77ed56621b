"""Limits on memory and open files, checked for every process of a stack while it runs."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Self

import psutil

MIB = 1024 * 1024
MEMORY_LIMIT_BYTES = {"kafka": 2048 * MIB, "clickhouse": 4096 * MIB, "gateway": 300 * MIB}
WORKER_MEMORY_LIMIT_BYTES = 400 * MIB
OPEN_FILES_LIMIT = 1000
"""For gateways and workers. Kafka keeps files open per segment, and ClickHouse per part."""
SERVER_OPEN_FILES_LIMIT = 10_000
EVERY_SECONDS = 2.0


class ResourceLimits:
    """Samples every process that has a PID file in *directory*, for the duration of the block."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self.memory_bytes: dict[str, int] = {}
        """Peak resident memory by service."""
        self.open_files: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()

    def exceeded(self) -> list[str]:
        """Return one sentence for each limit that was exceeded."""
        exceeded = [] if self.memory_bytes else ["no process was sampled"]
        for service, used in self.memory_bytes.items():
            kind = service.partition("-")[0]
            limit = MEMORY_LIMIT_BYTES.get(kind, WORKER_MEMORY_LIMIT_BYTES)
            files = SERVER_OPEN_FILES_LIMIT if kind in {"kafka", "clickhouse"} else OPEN_FILES_LIMIT
            if used > limit:
                exceeded.append(f"{service} used {used // MIB} MiB, its limit is {limit // MIB}")
            if self.open_files[service] > files:
                exceeded.append(f"{service} had {self.open_files[service]} files open, its limit is {files}")
        return exceeded

    def largest_process(self) -> str:
        """Return the name and memory of the largest gateway or worker."""
        ours = {service: used for service, used in self.memory_bytes.items() if service not in {"kafka", "clickhouse"}}
        service = max(ours, key=lambda name: ours[name], default="")
        return f"{service} {ours.get(service, 0) // MIB} MiB"

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            for file in self._directory.glob("*.pid"):
                # The process may exit, or its PID file be rewritten, while it is sampled.
                with contextlib.suppress(psutil.Error, OSError, ValueError):
                    process = psutil.Process(int(file.read_text()))
                    memory, files = process.memory_info().rss, process.num_fds()
                    self.memory_bytes[file.stem] = max(memory, self.memory_bytes.get(file.stem, 0))
                    self.open_files[file.stem] = max(files, self.open_files.get(file.stem, 0))
