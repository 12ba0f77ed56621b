"""What the local stack refuses before it touches anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.errors import OpenFilesError, StateError
from deploy.local import preflight

LATIN_1 = Path(os.fsdecode(b"/srv/jos\xe9"))


@pytest.mark.parametrize("name", ["/srv/plain", "/srv/a b,c:d\\e%41!y#1=?*'\"\n", "/srv/x!/y"])
def test_ascii_path_needs_no_utf8_locale(name: str) -> None:
    assert preflight.path_fault(Path(name), has_utf8_locale=False) == ""


def test_path_beyond_ascii_needs_a_utf8_locale() -> None:
    assert preflight.path_fault(Path("/srv/josé"), has_utf8_locale=True) == ""
    assert "no UTF-8 locale" in preflight.path_fault(Path("/srv/josé"), has_utf8_locale=False)


def test_path_that_is_not_utf8_is_refused() -> None:
    assert "not valid UTF-8" in preflight.path_fault(LATIN_1, has_utf8_locale=True)


@pytest.mark.parametrize(
    ("state", "cache", "variable", "shown"),
    [
        (LATIN_1, Path("/srv/cache"), "SEQUENCE_STATE_DIR", r"jos\xe9"),
        (Path("/srv/state"), LATIN_1, "SEQUENCE_CACHE_DIR", r"jos\xe9"),
        (Path("/srv/state"), Path("/srv/x!"), "SEQUENCE_CACHE_DIR", "x!"),
        (Path("/srv/state"), Path("/srv/x!/y"), "SEQUENCE_CACHE_DIR", "x!/y"),
    ],
)
def test_refused_path_is_shown_with_its_setting(state: Path, cache: Path, variable: str, shown: str) -> None:
    with pytest.raises(StateError) as caught:
        preflight.check_paths(state, cache)

    assert variable in str(caught.value)
    assert shown in str(caught.value)


def test_path_that_python_does_not_decode_as_utf_8_is_refused() -> None:
    decoded_as_ascii = Path(os.fsencode("/srv/josé").decode("ascii", "surrogateescape"))

    with pytest.raises(StateError, match=r"The workers cannot use the directory /srv/josé: .*PYTHONUTF8=1"):
        preflight.check_paths(decoded_as_ascii, Path("/srv/cache"))


def test_limit_of_open_files_depends_on_the_partitions() -> None:
    preflight.check_open_files(1024, 64)
    preflight.check_open_files(256, 4)
    with pytest.raises(OpenFilesError, match="may open 128 files, but 240 are needed for SEQUENCE_PARTITIONS=4"):
        preflight.check_open_files(128, 4)


def formatted(state: Path) -> Path:
    """Return *state* with the directories of a stack that has run."""
    for directory in ("kafka/data/sequence.events.v1-0", "kafka/data/__cluster_metadata-0", "workers/dedupe-1"):
        (state / directory).mkdir(parents=True)
    (state / "kafka" / "data" / "meta.properties").touch()
    return state


def test_new_and_complete_state_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    preflight.check_state(tmp_path / "new")
    preflight.check_state(formatted(tmp_path / "complete"))


def test_files_in_kafkas_directory_are_accepted(tmp_path: Path) -> None:
    state = formatted(tmp_path)
    (state / "kafka" / "data" / ".DS_Store").touch()
    for name in ("remote-log-index-cache", "a-1.8f2d3b6c-delete", "a-1.8f2d3b6c-future", "a-1.8f2d3b6c-stray"):
        (state / "kafka" / "data" / name).mkdir()

    preflight.check_state(state)


def test_foreign_directory_in_kafkas_directory_is_named(tmp_path: Path) -> None:
    state = formatted(tmp_path)
    (state / "kafka" / "data" / "x").mkdir()

    with pytest.raises(StateError, match=r"kafka/data/x\. Move them elsewhere"):
        preflight.check_state(state)


def test_state_that_refers_to_missing_kafka_data_is_refused(tmp_path: Path) -> None:
    state = formatted(tmp_path)
    (state / "kafka" / "data" / "meta.properties").unlink()

    with pytest.raises(StateError) as caught:
        preflight.check_state(state)

    assert str(state / "workers") in str(caught.value)
    assert f"or delete {state} to start without events" in str(caught.value)


PARTS = ["workers", "kafka/data/meta.properties", "logs/kafka.log"]


def test_part_of_the_state_that_cannot_be_written_is_named_with_its_owner(tmp_path: Path) -> None:
    for number, part in enumerate(PARTS):
        state = formatted(tmp_path / f"state-{number}")
        (state / "logs").mkdir()
        (state / "logs" / "kafka.log").touch()
        (state / part).chmod(0o400)
        for path in [tmp_path, state, *state.rglob("*")]:
            if os.getuid() == 0 and path != state / part:
                os.chown(path, 65534, 65534)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from deploy.errors import StateError\n"
        "from deploy.local import preflight\n"
        "os.chdir(sys.argv[1])\n"
        "os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534))\n"
        "for state in sys.argv[2:]:\n"
        "    try:\n"
        "        preflight.check_state(Path(state))\n"
        "        print('no error')\n"
        "    except StateError as error:\n"
        "        print(str(error).replace('\\n', ' '))\n"
    )
    states = [f"state-{number}" for number in range(len(PARTS))]

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *states], capture_output=True, text=True, check=False, timeout=60
    )

    for name, part, line in zip(states, PARTS, done.stdout.splitlines(), strict=True):
        assert f"{name}/{part} cannot be read and written by this user" in line, done.stderr
        assert f"it belongs to uid {os.getuid()}" in line


def test_number_of_brokers_is_that_of_the_data(tmp_path: Path) -> None:
    preflight.check_brokers(tmp_path, 3)
    for node in (1, 2, 3):
        (tmp_path / f"kafka-{node}").mkdir()

    preflight.check_brokers(tmp_path, 3)
    preflight.check_brokers(tmp_path, 0)
    with pytest.raises(StateError, match="has the data of 3 brokers, and the number cannot be changed"):
        preflight.check_brokers(tmp_path, 1)


def test_two_brokers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"Use `--brokers 1` or `--brokers 3`"):
        preflight.check_brokers(tmp_path, 2)


def test_state_with_the_data_of_one_broker_of_three_is_accepted(tmp_path: Path) -> None:
    for directory in ("kafka-1/data", "kafka-2", "workers/dedupe-1"):
        (tmp_path / directory).mkdir(parents=True)
    with pytest.raises(StateError, match="Kafka's data in"):
        preflight.check_state(tmp_path)

    (tmp_path / "kafka-1" / "data" / "meta.properties").touch()

    preflight.check_state(tmp_path)


def test_little_disk_space_is_one_line_with_the_space_that_is_needed(tmp_path: Path) -> None:
    line = preflight.little_space(tmp_path, 2**60) or ""

    assert "Gateways accept no items until it has 1048576.0 TiB (SEQUENCE_KAFKA_MIN_FREE_BYTES=" in line
    assert preflight.little_space(tmp_path, 0) is None
