"""The start of a worker while Kafka is away: bounded retries, one line about them, one sentence at the end."""

from __future__ import annotations

import logging

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaConnectionError, TopicAuthorizationFailedError

from processors.engine import connect
from processors.engine.errors import KafkaUnavailableError, TopicsError
from processors.engine.offsets import check_topics

SERVERS = "kafka:9092"


class Kafka:
    """Refuses some connections, with the log line that aiokafka writes for each."""

    def __init__(self, refusals: int, error: Exception | None = None) -> None:
        self.attempts = 0
        self._refusals = refusals
        self._error = error or KafkaConnectionError("Unable to bootstrap")

    async def connect(self) -> None:
        self.attempts += 1
        if self.attempts <= self._refusals:
            logging.getLogger("aiokafka").error('Unable connect to "%s": refused', SERVERS)
            raise self._error


async def test_retries_of_a_start_are_one_line_and_their_success_another(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    kafka = Kafka(refusals=2)
    await connect.connect(kafka.connect, SERVERS)

    assert kafka.attempts == 3
    first, last = [record.getMessage() for record in caplog.records]
    assert first == (
        "Kafka at kafka:9092 does not answer: 1 attempts failed in 0 s, retrying for 30 s: "
        'Unable connect to "kafka:9092": refused'
    )
    assert last.startswith("Kafka at kafka:9092 answers: 2 attempts failed in ")


async def test_new_cluster_without_a_coordinator_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", connect.__name__)
    kafka = Kafka(refusals=1, error=GroupCoordinatorNotAvailableError())
    await connect.connect(kafka.connect, SERVERS)

    first = caplog.records[0]
    assert first.levelname == "INFO"
    assert first.getMessage() == "Kafka at kafka:9092 has no group coordinator yet, retrying for 30 s"


async def test_start_gives_up_after_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "START_SECONDS", 0.0)
    with pytest.raises(KafkaUnavailableError, match=r"Kafka at kafka:9092 did not answer .* SEQUENCE_KAFKA_SERVERS"):
        await connect.connect(Kafka(refusals=99).connect, SERVERS)


@pytest.mark.parametrize("error", [TopicsError("missing"), TopicAuthorizationFailedError("items.v1")])
async def test_error_that_no_retry_cures_is_raised_at_once(error: Exception) -> None:
    kafka = Kafka(refusals=99, error=error)
    with pytest.raises(type(error)):
        await connect.connect(kafka.connect, SERVERS)
    assert kafka.attempts == 1


def test_missing_topics_are_named_with_the_command_that_creates_them() -> None:
    with pytest.raises(TopicsError) as caught:
        check_topics(["b", "a", "c"], {"c": 4})
    assert str(caught.value).startswith("Topics missing: a, b. Create them with `sequence topics apply`, or let this")


def test_topics_that_differ_in_partitions_are_refused() -> None:
    with pytest.raises(TopicsError, match=r"must have the same number of partitions: a has 4, b has 8\."):
        check_topics(["a", "b"], {"a": 4, "b": 8})
    check_topics(["a", "b"], {"a": 4, "b": 4, "other": 9})
