"""The embedded ClickHouse server where it can be started, and where not: time zone, path, rights, space, passwords."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp

PATHS = ["a b,c:d%41&e=f!g\\h#i;<j>$HOME~|'\"[1]", "a?b*{c,d}", "josé e\u0301", "x" * 200]


@dataclass(frozen=True, slots=True)
class Ended:
    """A server that did not start."""

    code: int
    message: str


def started(
    directory: Path, environ: Mapping[str, str] | None = None, limit: Callable[[], None] | None = None
) -> Ended:
    """Start a server that cannot run on *directory*, and return what it says."""
    service = services.embedded_clickhouse(directory)
    done = subprocess.run(
        service.command(),
        env={**os.environ, **service.environ, **(environ or {})},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stderr)


def files(limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


@pytest.mark.parametrize("zone", ["UTC+3", "CST", "Foo/Bar", "JST-9", "", "Asia/Tokyo", ":/etc/localtime"])
def test_server_starts_with_any_time_zone_and_all_times_are_utc(tmp_path: Path, zone: str) -> None:
    service = services.embedded_clickhouse(tmp_path)
    with services.running(replace(service, environ={**service.environ, "TZ": zone})):
        client = ClickHouseHttp(service.address)
        assert client.query("SELECT toString(toDateTime(0)), abs(now() - toDateTime(now(), 'UTC')) < 2") == (
            "1970-01-01 00:00:00\t1"
        )


@pytest.mark.parametrize("name", PATHS)
def test_rows_survive_a_restart_in_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    service = services.embedded_clickhouse(tmp_path / name)
    with services.running(service):
        client = ClickHouseHttp(service.address)
        client.query("CREATE TABLE t (a UInt32, j JSON) ENGINE = MergeTree ORDER BY a")
        assert client.send(b'{"a":1,"j":{"b":2}}', query="INSERT INTO t FORMAT JSONEachRow").written_rows == 1
        client.query("CREATE VIEW v AS SELECT a, j.b AS b FROM t")
    with services.running(service):
        assert ClickHouseHttp(service.address).query("SELECT a, b FROM v") == "1\t2"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_configuration_file_in_the_working_directory_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text("<not-for-us>")
    service = services.embedded_clickhouse(tmp_path / "state")
    environ = {**service.environ, "PYTHONPATH": str(Path.cwd()), "SEQUENCE_STATE_DIR": "state"}
    with services.running(replace(service, environ=environ, working_directory=tmp_path)):
        assert ClickHouseHttp(service.address).query("SELECT 1") == "1"
    assert (tmp_path / "state" / "clickhouse" / "metadata").is_dir()


def test_configuration_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        with services.running(services.embedded_clickhouse(tmp_path)):
            modes = {
                name: stat.S_IMODE((tmp_path / "clickhouse" / name).stat().st_mode)
                for name in (".", "engine.xml", "users.xml")
            }
    finally:
        os.umask(mask)
    assert modes == {".": 0o700, "engine.xml": 0o600, "users.xml": 0o600}


@pytest.mark.parametrize("variable", ["SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD", "SEQUENCE_LOCAL_ANALYST_PASSWORD"])
def test_server_without_a_password_ends_with_one_line(tmp_path: Path, variable: str) -> None:
    ended = started(tmp_path, {variable: ""})
    assert ended.code == 2
    assert f"{variable}: must not be empty" in ended.message
    assert len(ended.message.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "cause"),
    [
        (files(28), "it needs more open files than the limit allows"),
        (files(15), "The ClickHouse engine cannot be loaded: "),
        (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)), "File too large"),
    ],
    ids=["files", "very few files", "space"],
)
def test_server_that_lacks_a_resource_names_it_and_deletes_nothing(
    tmp_path: Path, limit: Callable[[], None], cause: str
) -> None:
    service = services.embedded_clickhouse(tmp_path)
    with services.running(service):
        ClickHouseHttp(service.address).query("CREATE TABLE t ENGINE = MergeTree ORDER BY a AS SELECT 7 AS a")
    ended = started(tmp_path, limit=limit)
    assert ended.code == 1
    assert cause in ended.message
    assert len(ended.message.splitlines()) == 1
    with services.running(service):
        assert ClickHouseHttp(service.address).query("SELECT a FROM t") == "7"


def test_directory_that_is_damaged_is_named_with_the_reason_of_the_engine(tmp_path: Path) -> None:
    metadata = tmp_path / "clickhouse" / "metadata"
    metadata.mkdir(parents=True)
    (metadata / "sequence.sql").write_text("garbage")
    ended = started(tmp_path)
    assert ended.code == 1
    assert f"The ClickHouse data in {tmp_path / 'clickhouse'} cannot be opened: Code: 62" in ended.message
    assert "Nothing was deleted" in ended.message
    assert (metadata / "sequence.sql").read_text() == "garbage"


def test_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")
    ended = started(tmp_path / "state")
    assert (ended.code, len(ended.message.splitlines())) == (1, 1)
    assert "Not a directory" in ended.message


def test_wildcard_in_the_path_is_rejected_for_the_database_of_files(tmp_path: Path) -> None:
    ended = started(tmp_path / "a?b", {"SEQUENCE_CLICKHOUSE_DATABASE": "default"})
    assert (ended.code, len(ended.message.splitlines())) == (1, 1)
    assert "SEQUENCE_STATE_DIR" in ended.message
    assert list(tmp_path.iterdir()) == []
