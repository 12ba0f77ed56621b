"""The number of partitions that a gateway spreads keys over."""

from __future__ import annotations

import pytest

from gateway.errors import PartitionsError
from gateway.kafka.partitions import Partitions
from schemas.projects import Deployment
from schemas.topics import Topics

TOPICS = Topics()
COUNTS = {TOPICS.items: 4, TOPICS.rejected: 4, TOPICS.projects: 1}
RAISED = {TOPICS.items: 8, TOPICS.rejected: 8, TOPICS.projects: 1}


def partitions(deployment: Deployment | None) -> Partitions:
    return Partitions(TOPICS, lambda: deployment)


def test_start_with_another_number_of_partitions_is_refused() -> None:
    partitions(Deployment(4, 1)).require(COUNTS)
    with pytest.raises(PartitionsError, match=r"items\.v1 has 8.*created with 4\. .*SEQUENCE_TOPIC_PREFIX"):
        partitions(Deployment(4, 1)).require(RAISED)


def test_gateway_without_a_record_of_the_deployment_starts_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    partitions(None).require(RAISED)

    assert "Run `sequence topics apply`" in caplog.text


def test_partitions_added_to_a_running_gateway_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    running = partitions(Deployment(4, 1))
    running.warn_if_changed(COUNTS)
    assert caplog.messages == []

    running.warn_if_changed(RAISED)
    running.warn_if_changed(RAISED)

    (line,) = caplog.messages
    assert "its next start is refused with exit code 78" in line


def test_topic_that_is_not_visible_for_a_moment_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    partitions(Deployment(4, 1)).warn_if_changed({**COUNTS, TOPICS.items: 0})

    assert caplog.messages == []
