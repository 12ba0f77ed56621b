"""Sentences about missing permissions, from aiokafka's own errors."""

from __future__ import annotations

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from schemas.denials import denial


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TopicAuthorizationFailedError("a.items.v1"), "Kafka denies READ on the topic a.items.v1 to this user"),
        (TopicAuthorizationFailedError({"a.b", "a.a"}), "Kafka denies READ on the topic a.a, a.b to this user"),
        (GroupAuthorizationFailedError("a-dedupe"), "Kafka denies READ on the consumer group a-dedupe to this user"),
        (ClusterAuthorizationFailedError(), "Kafka denies WRITE on any topic to this user"),
    ],
)
def test_denial_names_the_operation_and_the_topic_or_group(error: KafkaError, sentence: str) -> None:
    found = denial(error, "READ")

    assert found is not None
    assert found.startswith(sentence)
    assert found.endswith("(SEQUENCE_KAFKA_USERNAME). Grant it with Kafka's ACLs.")


def test_cause_of_an_error_is_searched() -> None:
    error = RuntimeError("fetch failed")
    error.__cause__ = ValueError()
    error.__cause__.__context__ = TopicAuthorizationFailedError("a.b")

    assert denial(error) == denial(TopicAuthorizationFailedError("a.b"))


def test_other_errors_deny_nothing() -> None:
    error = KafkaConnectionError("no broker")
    error.__context__ = error

    assert denial(error) is None
    assert denial(None) is None
