"""Proves that a heartbeat was accepted by the real coordinator of the group: it commits offsets after the heartbeat.

A coordinator that is cut off from the other brokers does not notice it, and accepts heartbeats while another one gives
the partitions to other workers. A commit it cannot acknowledge: that takes a replica, and replicas follow the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from processors.engine import aiokafka_patches


class CommitProofs:
    """Commits an offset again that was committed, or where a stage starts: nothing changes by it.

    Everything runs in the thread of the consumer, apart from `note`.
    """

    def __init__(self, metadata: Callable[[Any], str]) -> None:
        self._metadata = metadata
        self._offsets: dict[Any, int] = {}
        """By partition, the offset of the latest commit, or where the stage starts."""
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, offsets: Mapping[Any, int]) -> None:
        """Remember *offsets*; for any thread."""
        self._offsets.update(offsets)

    def clear(self) -> None:
        """Forget the offsets, because the partitions are revoked."""
        self._offsets.clear()

    def begin(self, consumer: Any, node: object, proven: Callable[[], None]) -> None:
        """Call *proven* once the coordinator *node*, which has just accepted a heartbeat of *consumer*, has committed.

        It is not called if another coordinator was found meanwhile, or if no partition is assigned.
        """
        # Beside the next heartbeats: a coordinator that is cut off answers late.
        task = asyncio.create_task(self._prove(consumer, node, proven))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prove(self, consumer: Any, node: object, proven: Callable[[], None]) -> None:
        assigned = consumer.assignment()
        known = next(((tp, offset) for tp, offset in [*self._offsets.items()] if tp in assigned), None)
        if known is not None:
            tp, offset = known
            if await aiokafka_patches.is_committed_by(consumer, node, {tp: (offset, self._metadata(tp))}):
                proven()
