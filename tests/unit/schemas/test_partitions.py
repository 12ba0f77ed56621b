"""Keys are placed as Kafka's own clients place them."""

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
def test_a_key_is_placed_as_by_aiokafka(key: bytes) -> None:
    assert partition_for(key, PARTITIONS) == expected(key)


@given(st.lists(st.binary(max_size=12), max_size=60))
def test_keys_of_all_lengths_are_placed_together_as_one_by_one(keys: list[bytes]) -> None:
    assert partitions_for(keys, PARTITIONS) == [expected(key) for key in keys]


@given(st.integers(0, 60).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=40)))
def test_keys_of_one_length_are_placed_together_as_one_by_one(keys: list[bytes]) -> None:
    assert partitions_for(keys, PARTITIONS) == [expected(key) for key in keys]
