"""How far the workers are with an erasure: against a model of a pipeline in which they read at any pace."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.erasures.flow import Flow, Key
from schemas.topics import Topics
from tests.fakes.erasures import MemoryDecisions

TOPICS = Topics()
ERASURE = msgspec.structs.replace(MemoryDecisions().erase("e", "ada", cut=10), identifies=(12,))
READERS = (
    ("dedupe", TOPICS.items, (TOPICS.events, TOPICS.duplicates, TOPICS.identifies, TOPICS.rejected)),
    ("persons", TOPICS.identifies, (TOPICS.persons, TOPICS.rejected)),
    ("sink", TOPICS.events, ()),
    ("sink", TOPICS.duplicates, ()),
    ("sink", TOPICS.rejected, ()),
    ("sink", TOPICS.persons, ()),
)


class Pipeline:
    """Topics of one partition whose readers write a record to each output for each record that they read."""

    def __init__(self) -> None:
        self.ends: dict[Key, int] = {(topic, 0): 0 for _, topic, _ in READERS}
        self.ends[TOPICS.items, 0] = 15
        self.ends[TOPICS.identifies, 0] = 12
        self.committed = {(worker, topic, 0): 0 for worker, topic, _ in READERS}
        self.covered: dict[Key, int] = dict.fromkeys(self.ends, 0)
        """By topic, the offset after the last record that follows from what the erasure covers."""
        self.covered[TOPICS.items, 0], self.covered[TOPICS.identifies, 0] = 10, 12

    def read(self, reader: int, count: int) -> None:
        worker, topic, outputs = READERS[reader]
        key = (worker, topic, 0)
        for _ in range(min(count, self.ends[topic, 0] - self.committed[key])):
            is_covered = self.committed[key] < self.covered[topic, 0]
            for output in outputs:
                self.ends[output, 0] += 1
                if is_covered:
                    self.covered[output, 0] = self.ends[output, 0]
            self.committed[key] += 1

    @property
    def is_done(self) -> bool:
        return all(self.committed[worker, topic, 0] >= self.covered[topic, 0] for worker, topic, _ in READERS)


@given(st.lists(st.tuples(st.integers(0, len(READERS) - 1), st.integers(1, 20)), max_size=60), st.data())
def test_nothing_is_on_its_way_once_the_flow_says_so(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    pipeline, flow = Pipeline(), Flow(TOPICS)
    for reader, count in steps:
        pipeline.read(reader, count)
        committed = dict(pipeline.committed)
        if data.draw(st.booleans()):  # The ends are read later than the commits.
            pipeline.read(data.draw(st.integers(0, len(READERS) - 1)), 2)
        if not flow.waits_for(ERASURE, committed, {}, pipeline.ends):
            assert pipeline.is_done
    for reader in (0, 1, 2, 3, 4, 5) * 3:
        pipeline.read(reader, 1000)
    assert flow.waits_for(ERASURE, pipeline.committed, {}, pipeline.ends) == ""


def test_ends_that_were_read_before_the_commits_would_not_do() -> None:
    """The control: with ends from before, a record that dedupe has written meanwhile is not waited for."""
    pipeline, flow = Pipeline(), Flow(TOPICS)
    pipeline.committed["persons", TOPICS.identifies, 0] = 12
    early = dict(pipeline.ends)
    pipeline.read(0, 10)

    assert flow.waits_for(ERASURE, pipeline.committed, {}, early) == ""
    assert not pipeline.is_done


def test_interrupted_command_is_waited_for() -> None:
    begun = msgspec.structs.replace(ERASURE, identifies=())

    assert "run it again" in Flow(TOPICS).waits_for(begun, {}, {}, {})


@pytest.mark.parametrize(("start", "waits"), [(9, True), (10, False)])
def test_records_that_retention_has_removed_are_not_waited_for(start: int, *, waits: bool) -> None:
    found = Flow(TOPICS).waits_for(ERASURE, {}, {(TOPICS.items, 0): start}, {})

    assert found.startswith("the worker dedupe") == waits
