"""HTTP load generator: `wrk` if it is installed; otherwise, and for load at a fixed rate, a process of this module.

The CPU time of the load generator is reported, because it must not be the bottleneck.
"""

from __future__ import annotations

import asyncio
import re
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import count, cycle
from pathlib import Path
from time import perf_counter

import msgspec
import uvloop

from tests.benchmarks.errors import BenchError

UNAVAILABLE = 503
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
_AGAIN_SECONDS = 0.5
"""Delay before a paced request that was answered with 503 is sent again, as clients do."""

_SCRIPT = """\
local requests, n, i = {}, 0, 0
function init(args)
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. args[2]}
  for line in io.lines(args[1]) do n = n + 1; requests[n] = wrk.format("POST", nil, headers, line) end
end
function request() i = i % n + 1; return requests[i] end
function done(summary, latency, _)
  local e = summary.errors
  local failed = e.status + e.connect + e.read + e.write + e.timeout
  io.write(string.format('{"requests":%d,"failed":%d,"p50_ms":%.3f,"p99_ms":%.3f}\\n', summary.requests, failed,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


class Outcome(msgspec.Struct, frozen=True):
    """Result of a load."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_seconds: float = 0.0


class Load(msgspec.Struct, frozen=True):
    """What to post, and how."""

    url: str
    token: str
    bodies: str
    """Path of a file with one body per line."""
    connections: int
    seconds: int
    """Duration; wrk accepts whole seconds only."""
    per_second: float = 0.0
    """Requests per second, each body posted once. 0 is closed loop: bodies repeat as fast as they are answered."""


async def post(load: Load) -> Outcome:
    """Post the bodies in a closed loop."""
    if (wrk := shutil.which("wrk")) is None:
        return await paced(load)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        options = ["-t1", f"-c{load.connections}", f"-d{load.seconds}s", "-s", script.name]
        return await _run([wrk, *options, load.url, "--", load.bodies, load.token])


async def paced(load: Load) -> Outcome:
    """Post the bodies from a process of this module, at the rate of *load*."""
    return await _run([sys.executable, "-m", "tests.benchmarks.loadgen", msgspec.json.encode(load).decode()])


async def _run(command: Sequence[str]) -> Outcome:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = re.search(rb"^{.*}$", printed, re.MULTILINE)
    if process.returncode or told is None:
        raise BenchError(f"The load generator exited with code {process.returncode}: {printed.decode()[-500:]}")
    outcome = msgspec.json.decode(told[0], type=Outcome)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return msgspec.structs.replace(outcome, cpu_seconds=used)


class Generator:
    """Connections that post the next body as soon as it is due."""

    def __init__(self, load: Load) -> None:
        self._host, _, path = load.url.removeprefix("http://").partition("/")
        head = f"POST /{path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {load.token}\r\n"
        self._head = f"{head}Content-Type: application/json\r\nContent-Length: ".encode()
        bodies = Path(load.bodies).read_bytes().splitlines()
        self._bodies = iter(bodies) if load.per_second else cycle(bodies)
        self._gap = 1 / load.per_second if load.per_second else 0.0
        self._seconds = load.seconds
        self._connections = load.connections
        self._numbers = count()
        self._began = perf_counter()
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []

    async def connection(self) -> None:
        """Post over one connection until the time has elapsed or no body is left."""
        name, _, port = self._host.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        for body in self._bodies:
            due = self._began + next(self._numbers) * self._gap
            if due > perf_counter():
                await asyncio.sleep(due - perf_counter())
            if perf_counter() - self._began > self._seconds:
                break
            sent = perf_counter() if not self._gap else due
            while await self._post(reader, writer, body) == UNAVAILABLE and self._gap:  # noqa: ASYNC110  # a retry, not a wait for an event
                await asyncio.sleep(_AGAIN_SECONDS)
            # Measured from the due time, so that waiting for a free connection counts as latency.
            self.waits.append(perf_counter() - sent)
        writer.close()

    async def _post(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
        writer.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        answer = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(answer)
        await reader.readexactly(int(length[1]) if length else 0)
        status = int(answer[9:12])
        self.statuses[status] += 1
        return status

    async def run(self) -> Outcome:
        """Post over all connections."""
        await asyncio.gather(*(self.connection() for _ in range(self._connections)))
        waits = sorted(self.waits)
        return Outcome(
            requests=len(waits),
            failed=self.statuses.total() - self.statuses[200],
            p50_ms=1000 * waits[len(waits) // 2],
            p99_ms=1000 * waits[len(waits) * 99 // 100],
        )


if __name__ == "__main__":
    generator = Generator(msgspec.json.decode(sys.argv[1], type=Load))
    sys.stdout.write(f"{msgspec.json.encode(uvloop.run(generator.run())).decode()}\n")
