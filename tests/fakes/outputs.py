"""Outputs that keep records in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from schemas.records import Record


class MemoryOutputs:
    """Has the shape of `processors.rejected_topic.Outputs`; keeps the records by topic."""

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = defaultdict(list)

    async def send(self, topic: str, records: Sequence[Record]) -> None:
        """Keep *records*."""
        self.records[topic].extend(records)
