"""The floor: Kafka's own tools for producing and consuming, on the runtime and the jars of the local stack."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psutil

from deploy.embedded import kafka_jars
from deploy.errors import BenchError
from tests.benchmarks.cluster import BenchCluster, Namespace
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

LIST = Path(__file__).with_name("kafka-tools.txt")
RECORDS = 500_000
RECORD_BYTES = 250
UNIT = "records/s"


async def produce(site: Namespace, class_path: str) -> Sample:
    """Produce records as fast as Kafka's own client does."""
    options = f"--topic {site.topics.items} --num-records {RECORDS} --record-size {RECORD_BYTES} --throughput -1"
    client = f"--bootstrap-server {site.world.broker} --command-property acks=all batch.size=65536"
    printed, used = await _run(site, class_path, f"org.apache.kafka.tools.ProducerPerformance {options} {client}")
    rates = re.findall(r"([\d.]+) records/sec", printed)
    if not rates:
        raise BenchError(f"Kafka's producer said: {printed[-500:]}")
    return Sample(float(rates[-1]), used)


async def consume(site: Namespace, class_path: str) -> Sample:
    """Consume what was produced as fast as Kafka's own client does."""
    options = f"--topic {site.topics.items} --num-records {RECORDS} --timeout 20000 --hide-header"
    client = f"--bootstrap-server {site.world.broker}"
    printed, used = await _run(site, class_path, f"org.apache.kafka.tools.ConsumerPerformance {options} {client}")
    fields = printed.strip().splitlines()[-1].split(",") if printed.strip() else []
    try:
        return Sample(float(fields[-1]), used)
    except (IndexError, ValueError) as error:
        raise BenchError(f"Kafka's consumer said: {printed[-500:]}") from error


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """Producer and consumer in turn."""
    directory = world.parts.broker.jars_directory
    tools = kafka_jars.listed(LIST.read_text(encoding="ascii"))
    repository = world.parts.settings.local.maven_repository
    await asyncio.to_thread(
        partial(kafka_jars.fetch, directory, kafka_jars.missing(directory, tools), repository=repository)
    )
    class_path = kafka_jars.class_path(directory, [*kafka_jars.listed(), *tools])
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(world.site("floor"))
        contenders = [
            Candidate("Kafka's own producer", UNIT, partial(produce, site, class_path)),
            Candidate("Kafka's own consumer", UNIT, partial(consume, site, class_path)),
        ]
        return await run_interleaved("floor", contenders, plan.rounds, world.say)


async def _run(site: Namespace, class_path: str, command: str) -> tuple[str, dict[str, float]]:
    """Return what the tool of *command* printed, and what it used of the CPU for a million records."""
    # The runtime that the broker runs on.
    java = psutil.Process(site.world.pids()["kafka"]).exe()
    process = await asyncio.create_subprocess_exec(
        java, "-Xmx256m", *command.split(),
        env={**site.world.environ, "CLASSPATH": class_path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with measured({"tool": process.pid, **site.world.pids()}) as usage:
        printed, _ = await process.communicate()
    return printed.decode(errors="replace"), usage.per_million(RECORDS)
