"""Fetches Kafka's jar files: exact versions, each checked against the SHA-256 in `kafka-jars.txt`.

jgo downloads from a Maven repository but only warns about a wrong checksum, so the check is made here, before a file
gets its final name. A file that is there is checked again at every start; that costs a tenth of a second.

`python -m deploy.embedded.kafka_jars ENDPOINT` prints a new list: jgo's notation, the coordinates joined by `+`. The list names
its own. The binding for log4j carries a `!`, or its parent's table of versions would decide over Kafka's clients.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jgo
import requests
from jgo.maven import MavenContext, PythonResolver

from deploy.errors import FetchError

LIST = Path(__file__).with_name("kafka-jars.txt")
_DOWNLOADS_AT_ONCE = 6

Progress = Callable[[int], None]
"""Told of bytes that arrived."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the list."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The name it has in a Maven repository."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def listed(text: str | None = None) -> list[Jar]:
    """Return the jars of the list, in the order of the class path."""
    lines = (LIST.read_text(encoding="ascii") if text is None else text).splitlines()
    fields = (line.split() for line in lines if line and not line.startswith("#"))
    return [Jar(coordinate, sha256, int(size)) for coordinate, sha256, size in fields]


def missing(directory: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Return the jars that are not in *directory* with the content they should have."""
    return [jar for jar in jars if not _is_right(directory / jar.file_name, jar)]


def class_path(directory: Path, jars: Iterable[Jar]) -> str:
    """Return Java's class path for *jars* in *directory*."""
    return os.pathsep.join(str(directory / jar.file_name) for jar in jars)


def fetch(directory: Path, jars: list[Jar], *, repository: str = "", progress: Progress = lambda _: None) -> None:
    """Download *jars* into *directory*, several at once; *repository* replaces Maven Central.

    Raises `FetchError` when one cannot be had or differs from the list. What was fetched before that stays.
    """
    lock = threading.Lock()

    def one_by_one(arrived: int) -> None:
        with lock:
            progress(arrived)

    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as staging,
            ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as threads,
        ):
            downloads = [
                threads.submit(_download, jar, directory, _context(Path(staging), repository, one_by_one))
                for jar in jars
            ]
            try:
                for download in as_completed(downloads):
                    download.result()
            finally:
                threads.shutdown(cancel_futures=True)
    except OSError as error:
        raise FetchError(f"Kafka's files could not be stored in {directory}: {error}") from error


def _download(jar: Jar, directory: Path, context: MavenContext) -> None:
    group, artifact, version = jar.coordinate.split(":")
    try:
        path = context.project(group, artifact).at_version(version).artifact().resolve()
    except (requests.RequestException, RuntimeError) as error:
        raise FetchError(
            f"{jar.coordinate} could not be fetched: {error}\n"
            "Is the network up? SEQUENCE_MAVEN_REPOSITORY names another Maven repository, REQUESTS_CA_BUNDLE a file of "
            "certificates where a proxy brings its own."
        ) from error
    if not _is_right(path, jar):
        raise FetchError(f"{jar.coordinate} as fetched is not the file that {LIST.name} names: its SHA-256 differs")
    path.replace(directory / jar.file_name)


def _context(staging: Path, repository: str, progress: Progress) -> MavenContext:
    @contextmanager
    def reported(_file_name: str, _size_bytes: int) -> Iterator[Progress]:
        yield progress

    return MavenContext(
        resolver=PythonResolver(progress_callback=reported),
        repo_cache=staging,
        remote_repos={"repository": repository.rstrip("/")} if repository else None,
        timeout=30,
    )


def _is_right(path: Path, jar: Jar) -> bool:
    try:
        if path.stat().st_size != jar.size_bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _list(endpoint: str) -> Iterator[str]:
    for artifact in jgo.resolve(endpoint):
        content = artifact.resolve().read_bytes()
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        yield f"{coordinate} {hashlib.sha256(content).hexdigest()} {len(content)}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in _list(sys.argv[1]))
