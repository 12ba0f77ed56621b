"""Finds the new leaders of partitions whose broker does not acknowledge.

A broker that is cut off from the others, but not from its clients, still answers that it leads its partitions, until it
reaches the others again. It can acknowledge nothing, because no other broker replicates from it. aiokafka sends to it
until the request times out, and then asks any broker for the leaders, perhaps the same one.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition

from gateway.kafka.aiokafka_private import MetadataSource

SILENT_SECONDS = 3.0
"""Time without an acknowledgement after which another broker is asked for the leaders."""
LEFT_OUT_SECONDS = 30.0
"""How long a broker is not asked after it was silent."""
LOOK_SECONDS = 1.0
"""Time between two calls of `SilentBrokers.look`."""


class _Sent(NamedTuple):
    """A batch that is not acknowledged."""

    partition: TopicPartition
    leader: int
    """To whom it was sent, at the time."""
    at: float


class SilentBrokers:
    """Watches the batches of one producer."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._cluster = producer.client.cluster
        self._source = MetadataSource(producer, self.brokers)
        self._sent: dict[Hashable, _Sent] = {}
        self._silent: dict[int, float] = {}
        """When each broker was last found silent."""

    def brokers(self, now: float | None = None) -> Collection[int]:
        """Return the brokers that were silent shortly before *now*."""
        since = (monotonic() if now is None else now) - LEFT_OUT_SECONDS
        return [broker for broker, at in self._silent.items() if at > since]

    def sent(self, batch: Hashable, topic: str, number: int) -> None:
        """Note that *batch* is being sent to partition *number* of *topic*."""
        self._note(batch, TopicPartition(topic, number), monotonic())

    def ended(self, batch: Hashable) -> None:
        """Note that *batch* is acknowledged or has failed."""
        self._sent.pop(batch, None)

    def look(self, now: float) -> None:
        """Have other brokers asked for the leaders if one is silent at *now*; send its batches to those there are."""
        late = {batch: each for batch, each in self._sent.items() if now - each.at >= SILENT_SECONDS}
        if not late:
            return
        replaced = set()
        for batch, each in late.items():
            self._silent[each.leader] = now
            if self._leader(each.partition) not in {None, each.leader}:
                replaced.add(each.leader)
                self._note(batch, each.partition, now)
        for broker in replaced:
            self._source.disconnect(broker)
        self._source.refresh()

    def _note(self, batch: Hashable, partition: TopicPartition, now: float) -> None:
        if (leader := self._leader(partition)) is not None:
            self._sent[batch] = _Sent(partition, leader, now)

    def _leader(self, partition: TopicPartition) -> int | None:
        leader = self._cluster.leader_for_partition(partition)
        return None if leader is None or leader < 0 else int(leader)
