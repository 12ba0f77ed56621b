"""Kafka's jar files: the list, and which files of a directory match it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deploy.embedded.kafka import VERSION
from deploy.embedded.kafka_jars import Jar, class_path, listed, missing

CONTENT = b"a jar"
JAR = Jar("org.example:thing:1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def test_list_contains_the_configured_kafka_version() -> None:
    jars = listed()

    assert jars[0].coordinate == f"org.apache.kafka:kafka_2.13:{VERSION}"
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)


def test_list_contains_the_logging_binding_of_kafkas_slf4j_version() -> None:
    versions = dict(jar.coordinate.split(":")[1:] for jar in listed())

    # The binding of 1.x is `log4j-slf4j-impl`, that of 2.x another artifact: a mismatch would disable logging.
    assert versions["slf4j-api"].startswith("1.7.")
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"] == versions["log4j-api"]


def test_valid_file_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(CONTENT)

    assert missing(tmp_path, [JAR]) == []


def test_file_with_a_wrong_checksum_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(b"a hat")

    assert missing(tmp_path, [JAR]) == [JAR]


def test_truncated_or_absent_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(CONTENT[:-1])

    assert missing(tmp_path, [JAR]) == [JAR]
    assert missing(tmp_path / "nowhere", [JAR]) == [JAR]


def test_class_path_keeps_the_order_of_the_list() -> None:
    jars = [Jar(f"org.example:{name}:1.0", "", 0) for name in ("b", "a")]

    assert class_path(Path("/jars"), jars) == "/jars/b-1.0.jar:/jars/a-1.0.jar"
