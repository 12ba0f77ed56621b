"""`sequence audit --watch` beside a stack under test."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def repeated_audit(environ: Mapping[str, str], log: Path, port: int, interval: str = "30s") -> Iterator[None]:
    """Audit the stack of *environ* for the block, with metrics at *port*; it ends with exit code 0."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "deploy.cli", "audit", "--watch", interval, "--metrics-port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert code == 0, log.read_text()
