"""Partitions of keys equal those of Kafka's own clients."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import partition_for, partitions_for

PARTITIONS = 997
kafkas = DefaultPartitioner()


def expected(key: bytes) -> int:
    numbers = list(range(PARTITIONS))
    placed: int = kafkas(key, numbers, numbers)
    return placed


@given(st.binary(max_size=80))
def test_partition_equals_the_one_of_aiokafka(key: bytes) -> None:
    assert partition_for(key, PARTITIONS) == expected(key)


@given(st.lists(st.binary(max_size=12), max_size=60))
def test_partitions_of_many_keys_equal_those_of_each(keys: list[bytes]) -> None:
    assert partitions_for(keys, PARTITIONS) == [expected(key) for key in keys]


@given(st.integers(0, 60).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=40)))
def test_partitions_of_keys_of_equal_length_equal_those_of_each(keys: list[bytes]) -> None:
    assert partitions_for(keys, PARTITIONS) == [expected(key) for key in keys]
