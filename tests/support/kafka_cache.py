"""Java's AOT cache of Kafka's classes, with which the brokers of the tests start."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.embedded import kafka_training
from deploy.local import parent_death


@cache
def make_cache(jars_directory: Path) -> None:
    """Make the cache in *jars_directory* if it is needed, once for each machine. Brokers start without it as well."""
    with TemporaryDirectory() as directory:
        command = [sys.executable, "-m", kafka_training.__name__, str(jars_directory)]
        with subprocess.Popen(
            parent_death.arguments(Path(directory) / "pid", command), stdin=subprocess.PIPE, start_new_session=True
        ) as process:
            process.wait()
