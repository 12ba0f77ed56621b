"""Baseline: Kafka's own performance tools for producing and consuming, on the broker's Java runtime."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psutil

from deploy.embedded import kafka_jars
from tests.benchmarks.cluster import BenchCluster, Namespace
from tests.benchmarks.errors import BenchError
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

LIST = Path(__file__).with_name("kafka-tools.txt")
RECORDS = 500_000
RECORD_BYTES = 250
UNIT = "records/s"


async def produce(namespace: Namespace, class_path: str) -> Sample:
    """Produce `RECORDS` records with Kafka's own client, unthrottled."""
    options = f"--topic {namespace.topics.items} --num-records {RECORDS} --record-size {RECORD_BYTES} --throughput -1"
    client = f"--bootstrap-server {namespace.cluster.broker} --command-property acks=all batch.size=65536"
    printed, used = await _run(namespace, class_path, f"org.apache.kafka.tools.ProducerPerformance {options} {client}")
    rates = re.findall(r"([\d.]+) records/sec", printed)
    if not rates:
        raise BenchError(f"ProducerPerformance printed no rate: {printed[-500:]}")
    return Sample(float(rates[-1]), used)


async def consume(namespace: Namespace, class_path: str) -> Sample:
    """Consume `RECORDS` records with Kafka's own client, unthrottled."""
    options = f"--topic {namespace.topics.items} --num-records {RECORDS} --timeout 20000 --hide-header"
    client = f"--bootstrap-server {namespace.cluster.broker}"
    printed, used = await _run(namespace, class_path, f"org.apache.kafka.tools.ConsumerPerformance {options} {client}")
    fields = printed.strip().splitlines()[-1].split(",") if printed.strip() else []
    try:
        return Sample(float(fields[-1]), used)
    except (IndexError, ValueError) as error:
        raise BenchError(f"ConsumerPerformance printed no rate: {printed[-500:]}") from error


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare producer and consumer."""
    directory = cluster.services.brokers[0].jars_directory
    tools = kafka_jars.listed(LIST.read_text(encoding="ascii"))
    repository = cluster.services.settings.local.maven_repository
    await asyncio.to_thread(
        partial(kafka_jars.fetch, directory, kafka_jars.missing(directory, tools), repository=repository)
    )
    class_path = kafka_jars.class_path(directory, [*kafka_jars.listed(), *tools])
    async with AsyncExitStack() as stack:
        namespace = await stack.enter_async_context(cluster.namespace("baseline"))
        candidates = [
            Candidate("Kafka's own producer", UNIT, partial(produce, namespace, class_path)),
            Candidate("Kafka's own consumer", UNIT, partial(consume, namespace, class_path)),
        ]
        return await run_interleaved("baseline", candidates, plan.rounds, cluster.say)


async def _run(namespace: Namespace, class_path: str, command: str) -> tuple[str, dict[str, float]]:
    """Run a Kafka tool; return its output and its CPU seconds per million records."""
    # The same Java runtime as the broker.
    java = psutil.Process(namespace.cluster.pids()["kafka"]).exe()
    process = await asyncio.create_subprocess_exec(
        java, "-Xmx256m", *command.split(),
        env={**namespace.cluster.environ, "CLASSPATH": class_path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with measured({"tool": process.pid, **namespace.cluster.pids()}) as usage:
        printed, _ = await process.communicate()
    return printed.decode(errors="replace"), usage.per_million(RECORDS)
