"""Whether this machine has a Docker engine."""

from __future__ import annotations

import contextlib
import gc
import warnings
from functools import cache

import docker
from docker.errors import DockerException


@cache
def docker_answers() -> bool:
    """Return whether a Docker engine answers."""
    answers = False
    with contextlib.suppress(DockerException), contextlib.closing(docker.from_env(timeout=3)) as client:
        answers = bool(client.ping())
    # docker-py leaves the socket of a failed connection open; collected here, its warning fails no test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return answers
