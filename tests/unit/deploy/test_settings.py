"""Settings of the local stack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.settings import LocalSettings, cache_directory, load_kafka, state_directory
from schemas.settings import SettingsError, load


def test_port_outside_the_range_is_rejected_with_its_variable() -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_LOCAL_KAFKA_PORT: must be between 1 and 65535, got '65536'"):
        load(LocalSettings, {"SEQUENCE_LOCAL_KAFKA_PORT": "65536"})


def test_state_directory_is_absolute() -> None:
    assert state_directory(LocalSettings()) == Path.cwd() / ".sequence"


def test_cache_directory_can_be_set() -> None:
    assert cache_directory(LocalSettings(cache_dir="/srv/jars"), {"HOME": "/"}) == Path("/srv/jars")


def test_default_cache_is_in_the_users_cache_directory(tmp_path: Path) -> None:
    assert cache_directory(LocalSettings(), {"HOME": str(tmp_path)}) == tmp_path / ".cache" / "sequence"
    assert cache_directory(LocalSettings(), {"HOME": "/", "XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/sequence")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/does/not/exist"}])
def test_cache_is_in_the_state_directory_without_a_home(environ: dict[str, str]) -> None:
    assert cache_directory(LocalSettings(state_dir="/state"), environ) == Path("/state/cache")


def test_cache_directory_reads_the_process_environment_by_default() -> None:
    assert cache_directory(LocalSettings()) == cache_directory(LocalSettings(), os.environ)


@pytest.mark.parametrize("set_to", ["", ".sequence"])
def test_empty_state_directory_is_the_default(set_to: str) -> None:
    assert state_directory(LocalSettings(state_dir=set_to)) == Path.cwd() / ".sequence"


def test_home_directory_of_nobody_is_rejected_with_its_variable() -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_STATE_DIR: ~no-such-user-here/x starts with"):
        state_directory(LocalSettings(state_dir="~no-such-user-here/x"))
    with pytest.raises(SettingsError, match="SEQUENCE_CACHE_DIR: ~no-such-user-here starts with"):
        cache_directory(LocalSettings(cache_dir="~no-such-user-here"))


def test_kafka_is_that_of_the_local_stack_without_servers() -> None:
    assert load_kafka({}).bootstrap_servers == "127.0.0.1:9092"
    assert load_kafka({"SEQUENCE_LOCAL_KAFKA_PORT": "19092"}).bootstrap_servers == "127.0.0.1:19092"
    given = {"SEQUENCE_LOCAL_KAFKA_PORT": "19092", "SEQUENCE_KAFKA_SERVERS": "kafka:9092"}
    assert load_kafka(given).bootstrap_servers == "kafka:9092"
