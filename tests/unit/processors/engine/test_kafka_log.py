"""aiokafka's lines in a worker: one about an outage, fewer while it lasts, one at its end, none about a rebalance."""

from __future__ import annotations

import logging

import pytest

from processors.engine.kafka_log import KafkaLog

COORDINATOR = "aiokafka.consumer.group_coordinator"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kafka_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> KafkaLog:
    """Attached by each test: pytest adds its handler to every logger that does not propagate when a test begins."""
    caplog.set_level("INFO")
    return KafkaLog(clock)


def outage(clock: Clock, seconds: int) -> None:
    """Log what aiokafka does while Kafka is away: two lines, here once a second."""
    for _ in range(seconds):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", 1, "refused")
        logging.getLogger("aiokafka.consumer.fetcher").error("Failed fetch messages from %s: %s", 1, "NodeNotReady")
        clock.now += 1


def test_outage_of_an_hour_is_a_few_lines(kafka_log: KafkaLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with kafka_log.attached():
        outage(clock, 3600)
        kafka_log.succeeded()
        kafka_log.succeeded()

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == (
        "Kafka does not answer: 1 requests failed in 0 s, retrying until it does. The last error: "
        "Unable connect to node with id 1: refused"
    )
    assert lines[1].startswith("Kafka does not answer: 21 requests failed in 10 s")
    assert lines[-1] == "Kafka answers again: 7200 requests failed in 3600 s"
    assert len(lines) <= 15


def test_without_the_handler_each_request_that_fails_is_a_line(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    outage(clock, 100)

    assert len(caplog.records) == 200


def test_rebalance_is_no_outage(kafka_log: KafkaLog, caplog: pytest.LogCaptureFixture) -> None:
    with kafka_log.attached():
        logging.getLogger(COORDINATOR).warning("Heartbeat failed for group %s because it is rebalancing", "sequence-1")
        kafka_log.succeeded()

    assert caplog.records == []


def test_connection_without_encryption_is_no_outage(kafka_log: KafkaLog, caplog: pytest.LogCaptureFixture) -> None:
    with kafka_log.attached():
        logging.getLogger("aiokafka.conn").warning("Sending username and password in the clear")
        kafka_log.succeeded()

    assert caplog.messages == ["Sending username and password in the clear"]


def test_unexpected_error_of_the_client_is_logged_with_its_traceback(
    kafka_log: KafkaLog, caplog: pytest.LogCaptureFixture
) -> None:
    with kafka_log.attached():
        try:
            int("odd")
        except ValueError:
            logging.getLogger(COORDINATOR).exception("Unexpected error in coordinator routine")

    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.name == COORDINATOR


def test_client_logs_as_before_when_the_worker_has_ended(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with KafkaLog(clock).attached():
        pass
    logging.getLogger("aiokafka").error("Unable connect")

    assert [record.name for record in caplog.records] == ["aiokafka"]
