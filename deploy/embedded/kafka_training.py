"""Makes Java's AOT cache of Kafka's classes: a broker of its own starts, serves each kind of request once and stops.

Java writes the cache at the end of that process. It takes half a minute of one processor, once for each version of
Kafka and Java:

    python -m deploy.embedded.kafka_training [--background] JARS_DIRECTORY

In the background, the process has the lowest priority and is the first that Linux ends when memory is short.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy import topics
from deploy.embedded import kafka_aot
from deploy.embedded.kafka import Broker, aot_cache, free_port
from deploy.errors import DeployError
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from schemas.topics import Topics

IN_BACKGROUND = "--background"
_DIRECTORY = "training"
_NEW = "new.aot"
_STARTED = "Kafka Server started"
_POLL_SECONDS = 0.2
_START_SECONDS = 120
_REQUEST_SECONDS = 120
_WRITE_SECONDS = 300
"""Limits for a busy machine, on which the lowest priority gets little."""
_LOWEST_PRIORITY = 19


class TrainingError(Exception):
    """The broker did not start, or Java did not write the cache."""


def make(jars_directory: Path) -> None:
    """Make the cache in *jars_directory* if it is needed, and remove those of other versions.

    One process at a time does so; others wait for it. Raises `TrainingError` or `DeployError` if Kafka or Java fails,
    `OSError` if the directory cannot be written.
    """
    with _locked(jars_directory), _empty(jars_directory / _DIRECTORY) as directory:
        broker = Broker(directory, free_port(), jars_directory)
        broker.configure(controller_port=free_port())
        if not is_needed(broker):
            return
        cache = aot_cache(jars_directory)
        cache.unlink(missing_ok=True)
        broker.format(_environ(broker))
        _train(broker)
        new = directory / _NEW
        with new.open("rb") as file:
            os.fsync(file)
        new.chmod(0o644)  # A cache directory can be shared.
        new.replace(cache)
        for old in {*jars_directory.glob(f"*{kafka_aot.SUFFIX}")} - {cache}:
            old.unlink()


def is_needed(broker: Broker) -> bool:
    """Return whether *broker* can use a cache and has none that is undamaged and of the present jar files."""
    if not kafka_aot.is_possible(os.environ):
        return False
    if not aot_cache(broker.jars_directory).exists():
        return True
    done = subprocess.run(  # noqa: S603  # the command is the broker's
        [*broker.java(), "-XX:AOTMode=on", "-version"],
        cwd=broker.directory,
        env=_environ(broker),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode != 0


def _environ(broker: Broker) -> dict[str, str]:
    """Return the environment of a Java that has the flags of the program and no others."""
    return {
        **{name: value for name, value in os.environ.items() if name not in kafka_aot.VARIABLES},
        **broker.environ(),
    }


def _train(broker: Broker) -> None:
    """Run *broker* until it has served each kind of request and Java has written the cache."""
    *java, main, properties = broker.command()
    output = broker.directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  # the command is the broker's
            [*java, f"-XX:AOTCacheOutput={_NEW}", main, properties],
            cwd=broker.directory,
            env=_environ(broker),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    with _killed_at_the_end(process):
        deadline = monotonic() + _START_SECONDS
        while _STARTED not in output.read_text(encoding="utf-8", errors="replace"):
            if process.poll() is not None or monotonic() > deadline:
                raise TrainingError(f"Kafka did not start. {_end(output)}")
            sleep(_POLL_SECONDS)
        asyncio.run(_serve(KafkaSettings(bootstrap_servers=f"127.0.0.1:{broker.port}")))
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_WRITE_SECONDS)
    if not (broker.directory / _NEW).exists():
        raise TrainingError(f"Java did not write the cache. {_end(output)}")


async def _serve(kafka: KafkaSettings) -> None:
    """Do what gateways and workers do: create topics, produce, and read and commit in a consumer group."""
    async with asyncio.timeout(_REQUEST_SECONDS):
        await topics.apply(kafka, TopicSettings())
        topic = Topics(kafka.topic_prefix).items
        producer = AIOKafkaProducer(**kafka_arguments(kafka), enable_idempotence=True)
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"{}")
        finally:
            await producer.stop()
        consumer = AIOKafkaConsumer(topic, **kafka_arguments(kafka), group_id=_DIRECTORY, auto_offset_reset="earliest")
        await consumer.start()
        try:
            await consumer.getone()
            await consumer.commit()
        finally:
            await consumer.stop()


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one process at a time into the block."""
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _empty(directory: Path) -> Iterator[Path]:
    """Yield *directory* without what a killed process left there; it is removed at the end."""
    shutil.rmtree(directory, ignore_errors=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _end(output: Path) -> str:
    return output.read_text(encoding="utf-8", errors="replace")[-2000:]


def main(jars_directory: Path, *, in_background: bool) -> int:
    """Make the cache and return an exit code, 1 after printing why there is none."""
    if in_background:
        os.nice(_LOWEST_PRIORITY)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        make(jars_directory)
    except (TrainingError, DeployError, KafkaError, OSError, TimeoutError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), in_background=IN_BACKGROUND in sys.argv[1:-1]))
