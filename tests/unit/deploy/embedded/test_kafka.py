"""The embedded broker's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded import kafka
from deploy.embedded.kafka import Broker


def broker(tmp_path: Path, *, fsync: bool = False, json_log: bool = False) -> Broker:
    return Broker(tmp_path / "kafka", 19999, tmp_path / "jars", fsync, json_log=json_log)


def test_listeners_are_bound_to_the_loopback_address(tmp_path: Path) -> None:
    listeners = broker(tmp_path).properties(controller_port=20000)["listeners"].split(",")

    assert listeners == ["PLAINTEXT://127.0.0.1:19999", "CONTROLLER://127.0.0.1:20000"]


def test_topic_creation_and_unclean_leader_election_are_disabled(tmp_path: Path) -> None:
    properties = broker(tmp_path).properties(controller_port=20000)

    assert properties["auto.create.topics.enable"] == "false"
    assert properties["unclean.leader.election.enable"] == "false"


def test_records_are_flushed_to_disk_only_with_fsync(tmp_path: Path) -> None:
    flushing = broker(tmp_path, fsync=True).properties(controller_port=20000)

    assert flushing["log.flush.interval.messages"] == "1"
    assert "log.flush.interval.messages" not in broker(tmp_path).properties(controller_port=20000)


@pytest.mark.parametrize(("json_log", "begin"), [(False, "%d{"), (True, '{"time":')])
def test_log_of_the_broker_has_the_format_of_the_other_services(tmp_path: Path, begin: str, *, json_log: bool) -> None:
    made = broker(tmp_path, json_log=json_log)
    made.configure(controller_port=20000)
    lines = (made.directory / "log4j2.properties").read_text().splitlines()
    [pattern] = [line.partition(" = ")[2] for line in lines if "layout.pattern" in line]

    assert pattern.startswith(begin)


def test_no_path_reaches_what_kafka_parses(tmp_path: Path) -> None:
    odd = Broker(tmp_path / "a,b:c\\d%41 é" / "kafka", 19999, tmp_path / "x:y" / "jars")

    odd.configure(controller_port=20000)
    environ = odd.environ()
    files = [path for path in odd.directory.iterdir() if path.suffix == ".properties"]

    assert len(files) == 2
    for text in (*kafka._JVM, environ["CLASSPATH"], *(path.read_text() for path in files)):
        assert str(tmp_path) not in text
        assert "é" not in text
    assert "log.dirs=data\n" in (odd.directory / "server.properties").read_text()
    assert all(entry.startswith("jars/") for entry in environ["CLASSPATH"].split(":"))
    assert (odd.directory / "jars").readlink() == odd.jars_directory


def test_link_to_the_jars_follows_the_cache_directory(tmp_path: Path) -> None:
    Broker(tmp_path / "kafka", 19999, tmp_path / "old").configure(controller_port=20000)
    Broker(tmp_path / "kafka", 19999, tmp_path / "new").configure(controller_port=20000)

    assert (tmp_path / "kafka" / "jars").readlink() == tmp_path / "new"


def test_broker_has_a_utf8_locale_and_utc_whatever_the_environment(tmp_path: Path) -> None:
    environ = broker(tmp_path).environ()

    assert "UTF" in environ["LC_ALL"].upper()
    assert environ["TZ"] == "UTC"


def test_missing_utf8_locale_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_UTF8_LOCALES", ("xx_YY.UTF-8",))

    assert kafka.utf8_locale() == ""


def test_native_libraries_of_a_killed_broker_are_deleted(tmp_path: Path) -> None:
    broker(tmp_path).configure(controller_port=20000)
    (tmp_path / "kafka" / "tmp" / "libzstd.so").touch()

    broker(tmp_path).configure(controller_port=20000)

    assert list((tmp_path / "kafka" / "tmp").iterdir()) == []


def test_brokers_of_a_cluster_know_each_other_and_keep_three_copies(tmp_path: Path) -> None:
    several = [
        Broker(tmp_path / f"kafka-{node}", 19990 + node, tmp_path / "jars", node=node, voters={1: 1, 2: 2, 3: 3})
        for node in (1, 2, 3)
    ]
    found = [each.properties(controller_port=each.node) for each in several]

    assert {each["controller.quorum.voters"] for each in found} == {"1@127.0.0.1:1,2@127.0.0.1:2,3@127.0.0.1:3"}
    assert [each["node.id"] for each in found] == ["1", "2", "3"]
    assert [each["broker.rack"] for each in found] == ["rack-1", "rack-2", "rack-3"]
    for setting in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        assert {each[f"{setting}.replication.factor"] for each in found} == {"3"}
    assert {each["min.insync.replicas"] for each in found} == {"2"}


def test_broker_on_its_own_keeps_one_copy_and_has_no_rack(tmp_path: Path) -> None:
    properties = broker(tmp_path).properties(controller_port=20000)

    assert properties["offsets.topic.replication.factor"] == "1"
    assert not properties.keys() & {"broker.rack", "min.insync.replicas"}


def test_id_of_the_cluster_is_that_of_the_formatted_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("#\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\nversion=1\n")

    assert kafka.cluster_id_of(tmp_path) == "MkU3OEVBNTcwNTJENDM2Qk"
    assert kafka.cluster_id_of(tmp_path / "none") == ""
