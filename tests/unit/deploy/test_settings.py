"""Settings of the local stack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.settings import LocalSettings, cache_directory, state_directory
from schemas.settings import SettingsError, load


def test_a_port_outside_the_range_is_refused_with_its_variable() -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_LOCAL_KAFKA_PORT"):
        load(LocalSettings, {"SEQUENCE_LOCAL_KAFKA_PORT": "65536"})


def test_the_state_directory_is_made_absolute() -> None:
    assert state_directory(LocalSettings()) == Path.cwd() / ".sequence"


def test_the_cache_is_where_it_is_set() -> None:
    assert cache_directory(LocalSettings(cache_dir="/srv/jars"), {"HOME": "/"}) == Path("/srv/jars")


def test_the_users_cache_is_shared_by_all_clones(tmp_path: Path) -> None:
    assert cache_directory(LocalSettings(), {"HOME": str(tmp_path)}) == tmp_path / ".cache" / "sequence"
    assert cache_directory(LocalSettings(), {"HOME": "/", "XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/sequence")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/does/not/exist"}])
def test_without_a_home_the_cache_is_in_the_state_directory(environ: dict[str, str]) -> None:
    assert cache_directory(LocalSettings(state_dir="/state"), environ) == Path("/state/cache")


def test_the_environment_of_this_process_is_the_default() -> None:
    assert cache_directory(LocalSettings()) == cache_directory(LocalSettings(), os.environ)
