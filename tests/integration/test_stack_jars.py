"""Fetching Kafka's files from a repository: a small one on this machine."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from deploy.embedded.kafka_jars import Jar, fetch, missing
from deploy.errors import FetchError
from tests.support.services import free_port

CONTENTS = {f"org.example:part{number}:1.0": b"jar %d" % number * 5000 for number in range(8)}
JARS = [Jar(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in CONTENTS.items()]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    root = tmp_path / "repository"
    for jar in JARS:
        group, artifact, version = jar.coordinate.split(":")
        file = root / group.replace(".", "/") / artifact / version / jar.file_name
        file.parent.mkdir(parents=True)
        file.write_bytes(CONTENTS[jar.coordinate])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_missing_is_fetched_and_progress_adds_up(repository: str, tmp_path: Path) -> None:
    directory = tmp_path / "cache" / "jars"
    arrived: list[int] = []

    fetch(directory, missing(directory, JARS), repository=repository, progress=arrived.append)

    assert missing(directory, JARS) == []
    assert sum(arrived) == sum(jar.size_bytes for jar in JARS)
    assert sorted(path.name for path in directory.iterdir()) == sorted(jar.file_name for jar in JARS)


def test_a_file_that_differs_from_the_list_is_refused_and_not_kept(repository: str, tmp_path: Path) -> None:
    forged = replace(JARS[0], sha256="0" * 64)

    with pytest.raises(FetchError, match=r"part0:1\.0 as fetched is not the file"):
        fetch(tmp_path / "jars", [forged], repository=repository)

    assert list((tmp_path / "jars").iterdir()) == []


def test_a_file_that_the_repository_lacks_is_named(repository: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"org\.example:absent:1\.0"):
        fetch(tmp_path / "jars", [Jar("org.example:absent:1.0", "0" * 64, 1)], repository=repository)


def test_without_a_network_the_setting_for_another_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="SEQUENCE_MAVEN_REPOSITORY"):
        fetch(tmp_path / "jars", JARS, repository=f"http://127.0.0.1:{free_port()}")


def test_a_cache_that_cannot_be_written_is_named(repository: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(FetchError, match="could not be stored in"):
        fetch(tmp_path / "file" / "jars", JARS, repository=repository)
