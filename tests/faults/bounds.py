"""Memory and open files of every process of a stack, watched for as long as it runs."""

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
"""Kafka keeps some for each segment, ClickHouse for each part: theirs is higher."""
SERVER_OPEN_FILES_LIMIT = 10_000
EVERY_SECONDS = 2.0


class Bounds:
    """Looks at every process that has a file in *directory*, again and again until the block ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self.memory_bytes: dict[str, int] = {}
        """By part, the most that it had."""
        self.open_files: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()

    def exceeded(self) -> list[str]:
        """Return in words what went out of bounds."""
        faults = [] if self.memory_bytes else ["no process was seen"]
        for part, used in self.memory_bytes.items():
            kind = part.partition("-")[0]
            limit = MEMORY_LIMIT_BYTES.get(kind, WORKER_MEMORY_LIMIT_BYTES)
            files = SERVER_OPEN_FILES_LIMIT if kind in {"kafka", "clickhouse"} else OPEN_FILES_LIMIT
            if used > limit:
                faults.append(f"{part} used {used // MIB} MiB, its limit is {limit // MIB}")
            if self.open_files[part] > files:
                faults.append(f"{part} had {self.open_files[part]} files open, its limit is {files}")
        return faults

    def largest(self) -> str:
        """Return the largest of our own processes with its memory."""
        ours = {part: used for part, used in self.memory_bytes.items() if part not in {"kafka", "clickhouse"}}
        part = max(ours, key=lambda name: ours[name], default="")
        return f"{part} {ours.get(part, 0) // MIB} MiB"

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            for file in self._directory.glob("*.pid"):
                # A process may end, or its file be written, at this very moment.
                with contextlib.suppress(psutil.Error, OSError, ValueError):
                    process = psutil.Process(int(file.read_text()))
                    memory, files = process.memory_info().rss, process.num_fds()
                    self.memory_bytes[file.stem] = max(memory, self.memory_bytes.get(file.stem, 0))
                    self.open_files[file.stem] = max(files, self.open_files.get(file.stem, 0))
