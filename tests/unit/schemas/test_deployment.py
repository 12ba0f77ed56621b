"""The number of partitions as part of a deployment's identity."""

from __future__ import annotations

from schemas.deployment import different_partitions
from schemas.projects import Deployment

RECORDED = Deployment(4, 1)


def test_same_number_of_partitions_is_accepted() -> None:
    assert different_partitions(RECORDED, {"a.items.v1": 4, "a.events.v1": 4}) is None


def test_deployment_without_a_record_is_not_compared() -> None:
    assert different_partitions(None, {"a.items.v1": 8}) is None


def test_message_names_both_numbers_and_each_topic_that_differs() -> None:
    message = different_partitions(RECORDED, {"a.items.v1": 8, "a.events.v1": 4, "a.identifies.v1": 6})

    assert message is not None
    assert "a.identifies.v1 has 6, a.items.v1 has 8, but the deployment was created with 4." in message
    assert "a.events.v1" not in message
    assert "SEQUENCE_TOPIC_PREFIX" in message
