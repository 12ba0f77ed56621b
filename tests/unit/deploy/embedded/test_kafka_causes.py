"""What the broker and the Java runtime write when they cannot start, taken from real runs, becomes one sentence."""

from __future__ import annotations

import json
import re

import pytest

from deploy.embedded.kafka_causes import kafka_cause
from deploy.failure import Cause

T = "2026-11-29T02:05:22.772Z"

PORT = f"""\
{T} ERROR DataPlaneAcceptor: Unable to start acceptor for PLAINTEXT
org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:40075: Address already in use.
\tat org.apache.kafka.network.Acceptor.openServerSocket(SocketServer.scala:700)
Caused by: java.net.BindException: Address already in use
\t... 18 more
{T} ERROR BrokerServer: [BrokerServer id=1] Fatal error during broker startup. Prepare to shutdown
java.lang.RuntimeException: Received a fatal error while waiting for all of the SocketServer Acceptors to be started
{T} WARN NetworkClient: [id=1 name=registration] Attempting to close NetworkClient that has already been closed."""
DISK = f"""\
{T} ERROR LogDirFailureChannel: Error while writing to checkpoint file /data/leader-epoch-checkpoint
java.io.IOException: No space left on device
{T} ERROR ProcessTerminatingFaultHandler: Encountered fatal fault: caught exception
org.apache.kafka.common.errors.KafkaStorageException: The log dir /data is already offline due to a previous IO exc."""
DIRECTORY = f"""\
{T} ERROR ProcessTerminatingFaultHandler: Encountered fatal fault: Error starting LogManager
org.apache.kafka.common.KafkaException: Found directory /kafka/data/notes, 'notes' is not in the form of \
topic-partition or topic-partition.uniqueId-delete (if marked for deletion).
Kafka's log directories (and children) should only contain Kafka topic data."""
LOCK = f"""\
{T} ERROR Kafka$: Exiting Kafka due to fatal exception during startup.
org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in /kafka/data. A Kafka instance in \
another process or thread is using this directory."""
VERSION = f"""\
{T} ERROR MetaPropertiesEnsemble: Error while reading meta.properties file /kafka/data/meta.properties
java.lang.RuntimeException: Unknown meta.properties version number 9
{T} ERROR Kafka$: Exiting Kafka due to fatal exception
java.lang.RuntimeException: No readable meta.properties files found."""
NODE = f"""\
{T} ERROR Kafka$: Exiting Kafka due to fatal exception
java.lang.RuntimeException: Stored node id 7 doesn't match previous node id 1 in data/meta.properties."""
JARS = """\
Error: Could not find or load main class kafka.Kafka
Caused by: java.lang.ClassNotFoundException: kafka.Kafka"""
MEMORY = """\
Error occurred during initialization of VM
Could not reserve enough space for 524288 KB object heap"""
MEMORY_OF_CLASSES = """\
Error occurred during initialization of VM
Could not allocate compressed class space: 1073741824 bytes"""
MEMORY_LATER = "Terminating due to java.lang.OutOfMemoryError: Java heap space"
OTHER = f"""\
{T} ERROR Kafka$: Exiting Kafka due to fatal exception
org.apache.kafka.common.config.ConfigException: Invalid value x for configuration listeners
Caused by: java.lang.IllegalArgumentException: Bad port"""

CAUSES = {
    "port": (PORT, "Kafka cannot listen on 127.0.0.1:40075: Address already in use. Stop the process", False),
    "disk": (DISK, "The disk of Kafka's data is full. Free disk space, or set SEQUENCE_STATE_DIR", True),
    "directory": (DIRECTORY, "/kafka/data/notes is not a directory of Kafka. Move it", True),
    "lock": (LOCK, "Another Kafka process uses /kafka/data. Stop it, or set SEQUENCE_STATE_DIR.", False),
    "version": (VERSION, "Kafka's data was written by another version of Kafka. Run the version", True),
    "node": (NODE, "Kafka's data belongs to another broker. Restore it", True),
    "jars": (JARS, "Kafka's jar files are damaged or cannot be read. Delete them", True),
    "memory": (MEMORY, "Java has too little memory for Kafka, which needs 1 GiB. Free memory", True),
    "memory of classes": (MEMORY_OF_CLASSES, "Java has too little memory for Kafka", True),
    "memory later": (MEMORY_LATER, "Java has too little memory for Kafka", True),
    "other": (OTHER, "Bad port.", False),
}
"""Output, beginning of the sentence, and whether another start fails as well."""


@pytest.mark.parametrize("name", CAUSES)
def test_cause_of_the_brokers_end_is_one_sentence(name: str) -> None:
    output, sentence, permanent = CAUSES[name]
    cause = kafka_cause(output.splitlines())

    assert cause is not None
    assert cause.text.startswith(sentence)
    assert cause.permanent is permanent
    assert "\n" not in cause.text


@pytest.mark.parametrize("name", ["port", "disk", "lock", "other"])
def test_cause_is_the_same_in_the_json_log(name: str) -> None:
    output, sentence, _ = CAUSES[name]
    lines = []
    for event in re.split(rf"^(?={T})", output, flags=re.MULTILINE)[1:]:
        first, _, stack = event.partition("\n")
        _, level, logger, message = first.split(" ", 3)
        fields = {"time": T, "level": level.lower(), "logger": logger[:-1], "message": message, "exception": stack}
        lines.append(json.dumps(fields))

    cause = kafka_cause(lines)
    assert cause is not None
    assert cause.text.startswith(sentence)


def test_output_of_a_healthy_broker_has_no_cause() -> None:
    assert kafka_cause([f"{T} INFO KafkaRaftServer: [KafkaRaftServer nodeId=1] Kafka Server started"]) is None
    assert kafka_cause([f"{T} ERROR Log: odd"]) == Cause("odd.")
