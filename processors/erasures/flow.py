"""How far the workers are with what an erasure covers: an item may be on its way when the erasure is requested. Pure.

A worker has written everything that follows from its input before it commits. So once dedupe has committed the cut of
`items.v1`, the ends of its outputs bound what the other workers have to read, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.erasure import Erasure
from schemas.topics import Topics, without_prefix

Key = tuple[str, int]
"""Topic and partition."""
Committed = Mapping[tuple[str, str, int], int]
"""By worker, topic and partition, the offset that its group has committed."""


@dataclass(slots=True)
class Flow:
    """Follows one erasure through the topics. Between two looks it remembers the ends that it has seen."""

    topics: Topics
    _level: int = 0
    _ends: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """By worker, topic and partition, the offset to be committed at this level."""

    def waits_for(
        self, erasure: Erasure, committed: Committed, starts: Mapping[Key, int], ends: Mapping[Key, int]
    ) -> str:
        """Return what a worker has not read yet, for people; empty once every row is written.

        *ends* must have been read after *committed*, and *starts* at any time.
        """
        if not erasure.identifies:
            return "the command, which was interrupted: run it again"
        topics = self.topics
        if self._level == 0:
            self._ends = {("dedupe", topics.items, number): end for number, end in enumerate(erasure.items)}
            self._level = 1
        while True:
            for (worker, topic, partition), end in self._ends.items():
                # What retention has removed is read by nobody.
                reached = max(committed.get((worker, topic, partition), 0), starts.get((topic, partition), 0))
                if reached < end:
                    return f"the worker {worker}, which reads {without_prefix(topic)}"
            if self._level > 2:
                return ""
            self._ends = self._next(erasure, ends)
            self._level += 1

    def _next(self, erasure: Erasure, ends: Mapping[Key, int]) -> dict[tuple[str, str, int], int]:
        topics = self.topics
        if self._level == 2:
            return {("sink", *key): end for key, end in ends.items() if key[0] in (topics.persons, topics.rejected)}
        by_sink = (topics.events, topics.duplicates, topics.rejected)
        found = {("sink", *key): end for key, end in ends.items() if key[0] in by_sink}
        told = dict(enumerate(erasure.identifies))
        return found | {
            ("persons", topic, number): max(end, told.get(number, 0))
            for (topic, number), end in ends.items()
            if topic == topics.identifies
        }
