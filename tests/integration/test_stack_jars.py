"""Downloads of Kafka's jar files, from a Maven repository on this machine."""

from __future__ import annotations

import base64
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
from tests.support.http_proxies import ForwardProxy

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


def test_missing_files_are_downloaded_with_progress(repository: str, tmp_path: Path) -> None:
    directory = tmp_path / "cache" / "jars"
    arrived: list[int] = []

    fetch(directory, missing(directory, JARS), repository=repository, progress=arrived.append)

    assert missing(directory, JARS) == []
    assert sum(arrived) == sum(jar.size_bytes for jar in JARS)
    assert sorted(path.name for path in directory.iterdir()) == sorted(jar.file_name for jar in JARS)
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o644}


@pytest.fixture
def failing_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """A proxy of the environment that answers 502."""
    with ForwardProxy() as proxy:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


def test_repository_on_this_machine_is_not_asked_through_a_proxy(
    repository: str, tmp_path: Path, failing_proxy: ForwardProxy
) -> None:
    fetch(tmp_path, JARS[:1], repository=repository)

    assert missing(tmp_path, JARS[:1]) == []
    assert failing_proxy.heads == []


def test_control_without_the_check_the_proxy_is_asked(
    repository: str, tmp_path: Path, failing_proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.embedded.kafka_jars.is_loopback", lambda _: False)
    with pytest.raises(FetchError, match="502"):
        fetch(tmp_path, JARS[:1], repository=repository)

    assert failing_proxy.heads[0].startswith(f"GET {repository}/org/example/")


def test_repository_elsewhere_is_asked_through_the_proxy(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(repository.rpartition(":")[2])
    with ForwardProxy(port) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        with pytest.raises(FetchError, match="404"):
            fetch(tmp_path, JARS[:1], repository="http://maven.example")
        assert proxy.heads[0].startswith("GET http://maven.example/org/example/")


def test_damaged_file_is_downloaded_again(repository: str, tmp_path: Path) -> None:
    fetch(tmp_path, JARS, repository=repository)
    damaged = tmp_path / JARS[0].file_name
    damaged.write_bytes(b"x" * JARS[0].size_bytes)

    assert missing(tmp_path, JARS) == [JARS[0]]
    fetch(tmp_path, [JARS[0]], repository=repository)

    assert damaged.read_bytes() == CONTENTS[JARS[0].coordinate]


def test_file_with_a_wrong_checksum_is_rejected_and_deleted(repository: str, tmp_path: Path) -> None:
    forged = replace(JARS[0], sha256="0" * 64)

    expected = rf"Checksum mismatch for org\.example:part0:1\.0: .* expected {forged.sha256} but got {JARS[0].sha256}"
    with pytest.raises(FetchError, match=expected):
        fetch(tmp_path / "jars", [forged], repository=repository)

    assert list((tmp_path / "jars").iterdir()) == []


def test_file_absent_from_the_repository_is_named(repository: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"Cannot download org\.example:absent:1\.0: 404"):
        fetch(tmp_path / "jars", [Jar("org.example:absent:1.0", "0" * 64, 1)], repository=repository)


def test_credentials_in_the_url_authenticate_and_stay_out_of_errors(tmp_path: Path) -> None:
    authorizations: list[str | None] = []

    class Closed(Quiet):
        def do_GET(self) -> None:
            authorizations.append(self.headers["Authorization"])
            self.send_error(403)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(FetchError) as caught:
            fetch(tmp_path, JARS[:1], repository=f"http://user:sesame@127.0.0.1:{server.server_port}")
        server.shutdown()

    assert authorizations == [f"Basic {base64.b64encode(b'user:sesame').decode()}"]
    assert "403" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("repository", ["http://127.0.0.1:1", "http://[::1", "maven.example", "ftp://h"])
def test_unusable_repository_error_names_the_setting(tmp_path: Path, repository: str) -> None:
    with pytest.raises(FetchError, match="SEQUENCE_MAVEN_REPOSITORY"):
        fetch(tmp_path / "jars", JARS, repository=repository)


def test_unwritable_cache_error_names_directory_and_setting(repository: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    with pytest.raises(FetchError, match=r"Cannot write .*file/jars: .* SEQUENCE_CACHE_DIR"):
        fetch(tmp_path / "file" / "jars", JARS, repository=repository)


class Failing(http.server.ThreadingHTTPServer):
    """Answers each request with the next of some statuses: 0 cuts the file short, 200 sends it."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        super().__init__(("127.0.0.1", 0), FailingHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class FailingHandler(Quiet):
    def do_GET(self) -> None:
        assert isinstance(self.server, Failing)
        content, status = CONTENTS[JARS[0].coordinate], self.server.statuses.pop(0)
        if status not in {0, 200}:
            self.send_error(status)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if status == 200 else content[:1000])


@pytest.mark.parametrize("failures", [(503, 500), (0, 502)])
def test_download_that_fails_twice_is_complete_at_the_third_attempt(tmp_path: Path, failures: tuple[int, ...]) -> None:
    arrived: list[int] = []
    with Failing(*failures, 200) as server:
        fetch(tmp_path, JARS[:1], repository=f"http://127.0.0.1:{server.server_port}", progress=arrived.append)
        server.shutdown()

    assert missing(tmp_path, JARS[:1]) == []
    assert (server.statuses, sum(arrived)) == ([], JARS[0].size_bytes)


@pytest.mark.parametrize(("statuses", "left"), [((503, 503, 503, 200), 1), ((404, 200), 1), ((403, 200), 1)])
def test_download_fails_after_three_attempts_or_at_once(tmp_path: Path, statuses: tuple[int, ...], left: int) -> None:
    with Failing(*statuses) as server:
        with pytest.raises(FetchError, match=str(statuses[0])):
            fetch(tmp_path, JARS[:1], repository=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()

    assert len(server.statuses) == left
