"""What Kafka permits a worker on its topics, decided from the bits of Kafka's answer."""

from __future__ import annotations

import pytest

from processors.engine.errors import PermissionDeniedError
from processors.engine.permissions import check_topics

READ, WRITE, DESCRIBE = 1 << 3, 1 << 4, 1 << 8
UNKNOWN = -(2**31)


def test_permitted_operations_are_enough() -> None:
    check_topics({"a": READ | DESCRIBE, "b": READ | WRITE | DESCRIBE}, reads=["a", "b"], writes=["b"])


@pytest.mark.parametrize(
    ("bits", "denied"),
    [(DESCRIBE, "READ on the topic a "), (WRITE | DESCRIBE, "READ on the topic a "), (READ | DESCRIBE, "WRITE on the")],
)
def test_missing_operation_is_named_with_its_topic(bits: int, denied: str) -> None:
    with pytest.raises(PermissionDeniedError, match=f"Kafka denies {denied}"):
        check_topics({"a": bits}, reads=["a"], writes=["a"])


@pytest.mark.parametrize("bits", [UNKNOWN, 0, READ])
def test_cluster_that_does_not_know_the_operations_denies_nothing(bits: int) -> None:
    check_topics({"a": bits}, reads=["a"], writes=["a"])
    check_topics({}, reads=["a"], writes=["a"])
