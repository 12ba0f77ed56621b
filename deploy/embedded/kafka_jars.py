"""Downloads Kafka's jar files from a Maven repository: the exact versions of `kafka-jars.txt`, verified by SHA-256.

pooch downloads each file under a temporary name and renames it once its checksum matches, so a jar file is complete or
absent. Files that are present are verified at every start, which takes a tenth of a second. A download that fails for
the network or the server is tried again.

`python -m deploy.embedded.kafka_jars ENDPOINT` prints a new list. ENDPOINT is the first line of the list, in jgo's
notation: Maven coordinates joined by `+`. The log4j binding is marked with `!`, which makes jgo ignore the dependency
versions of its parent POM; otherwise they would override those of Kafka's clients.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pooch  # type: ignore[import-untyped]  # it publishes no types
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential

from deploy.errors import FetchError
from schemas.addresses import is_loopback

LIST = Path(__file__).with_name("kafka-jars.txt")
_PARALLEL_DOWNLOADS = 6
_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 64 * 1024
_ATTEMPTS = 3
_PASSING_ERRORS = frozenset({"ChunkedEncodingError", "ConnectionError", "ConnectTimeout", "ReadTimeout"})
"""Errors of requests, which is none of our dependencies, that another attempt may not meet."""
_SERVER_ERROR = 500
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
"""The user name and password in a URL, which requests shows in errors."""

Progress = Callable[[int], None]
"""Called with the number of bytes received since the last call."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One file of the list."""

    coordinate: str
    """`group:artifact:version`."""
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """Its file name in a Maven repository."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    @property
    def path(self) -> str:
        """Its path in a Maven repository."""
        group, artifact, version = self.coordinate.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.file_name}"


def listed(text: str | None = None) -> list[Jar]:
    """Return the jars of *text*, by default of `kafka-jars.txt`, in the order of the class path."""
    lines = (LIST.read_text(encoding="ascii") if text is None else text).splitlines()
    fields = (line.split() for line in lines if line and not line.startswith("#"))
    return [Jar(coordinate, sha256, int(size)) for coordinate, sha256, size in fields]


def missing(directory: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Return the jars that are absent from *directory* or differ from the list."""
    return [jar for jar in jars if not _is_valid(directory / jar.file_name, jar)]


def class_path(directory: Path, jars: Iterable[Jar]) -> str:
    """Return Java's class path for *jars* in *directory*."""
    return os.pathsep.join(str(directory / jar.file_name) for jar in jars)


def fetch(directory: Path, jars: list[Jar], *, repository: str = "", progress: Progress = lambda _: None) -> None:
    """Download *jars* into *directory*, several in parallel, from *repository* or else from Maven Central.

    Raises `FetchError` if one cannot be downloaded or stored, or differs from the list. Complete files stay.
    """
    pooch.get_logger().setLevel("WARNING")
    lock = threading.Lock()

    def report(count: int) -> None:
        with lock:
            progress(count)

    base_url = repository.rstrip("/") or _central()
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as threads:
        downloads = [threads.submit(_download, jar, directory, base_url, report) for jar in jars]
        try:
            for download in as_completed(downloads):
                download.result()
        finally:
            threads.shutdown(cancel_futures=True)


class _ProgressBar:
    """What pooch updates. It counts a last, partial chunk in full and then the whole file once more."""

    total = 0

    def __init__(self, jar: Jar, report: Progress) -> None:
        self._remaining_bytes = jar.size_bytes
        self._report = report

    def update(self, count: int) -> None:
        received = min(count, self._remaining_bytes)
        self._remaining_bytes -= received
        self._report(received)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def _download(jar: Jar, directory: Path, base_url: str, report: Progress) -> None:
    # A proxy of the environment is another machine, on which a loopback address names something else.
    direct = {"no_proxy": "*"} if _is_on_this_machine(base_url) else None
    downloader = pooch.HTTPDownloader(
        progressbar=_ProgressBar(jar, report), chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_SECONDS, proxies=direct
    )
    try:
        _retrieve(f"{base_url}/{jar.path}", jar, directory, downloader)
        # A temporary file is readable by its owner alone, but a cache can be shared.
        (directory / jar.file_name).chmod(0o644)
    except OSError as error:
        # Errors of the operating system, such as a full disk, have a number; those of HTTP requests have none.
        if error.errno is not None:
            raise FetchError(
                f"Cannot write Kafka's jar files to {directory}: {error}. SEQUENCE_CACHE_DIR sets another directory."
            ) from error
        raise FetchError(
            f"Cannot download {jar.coordinate}: {_CREDENTIALS.sub('//', str(error))}\n"
            "Check the network connection. SEQUENCE_MAVEN_REPOSITORY sets another Maven repository. "
            "REQUESTS_CA_BUNDLE sets the file of CA certificates, which a TLS-inspecting proxy needs."
        ) from error
    except ValueError as error:
        raise FetchError(f"Checksum mismatch for {jar.coordinate}: {error}") from error


def _may_pass(error: BaseException) -> bool:
    """Return whether another attempt may succeed: the connection failed, or the server answered with 5xx."""
    response = getattr(error, "response", None)
    return type(error).__name__ in _PASSING_ERRORS if response is None else response.status_code >= _SERVER_ERROR


@retry(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(_ATTEMPTS),
    wait=wait_exponential(multiplier=0.5),
    reraise=True,
)
def _retrieve(url: str, jar: Jar, directory: Path, downloader: pooch.HTTPDownloader) -> None:
    try:
        pooch.retrieve(url, jar.sha256, jar.file_name, directory, downloader=downloader)
    except OSError as error:
        # pooch leaves the connection of a rejected request open; the exception of requests holds its response.
        if (response := getattr(error, "response", None)) is not None:
            response.close()
        raise


def _is_on_this_machine(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:  # the download itself says what is wrong with the URL
        return False


def _is_valid(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size_bytes and pooch.file_hash(path) == jar.sha256
    except OSError:  # If it cannot be read either, the download says so.
        return False


def _central() -> str:
    """Return the URL of Maven Central. The library loads for a fifth of a second, and most starts fetch nothing."""
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415  # as above

    return MAVEN_CENTRAL_URL


def _list(endpoint: str) -> Iterator[str]:
    import jgo  # noqa: PLC0415  # for this list alone

    for artifact in jgo.resolve(endpoint):
        content = artifact.resolve().read_bytes()
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        yield f"{coordinate} {hashlib.sha256(content).hexdigest()} {len(content)}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in _list(sys.argv[1]))
