"""The embedded broker's configuration."""

from __future__ import annotations

from pathlib import Path

from deploy.embedded.kafka import Broker


def broker(tmp_path: Path, **changes: bool) -> Broker:
    return Broker(tmp_path / "kafka", 19999, tmp_path / "jars", **changes)


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
