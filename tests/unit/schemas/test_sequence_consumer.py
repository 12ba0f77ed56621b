"""The helper of consumers: exact over logs with dips, repeats and restarts; clear about what it refuses."""

from __future__ import annotations

import ast
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import sequence_consumer
from schemas.records import event_headers, identify_headers
from schemas.sequence_consumer import (
    InvalidOriginError,
    InvalidStateError,
    MissedRecordsError,
    RecreatedTopicError,
    SourceOffsets,
    origin_of,
)

FILE = Path(sequence_consumer.__file__)
Event = tuple[int, int]
"""Source partition and source offset."""


def resumed(partition: int) -> SourceOffsets:
    """Return a consumer that reads *partition* for the first time."""
    consumer = SourceOffsets()
    consumer.resume(partition, None, log_start=0, log_end=1)
    return consumer


def written(draws: random.Random, items: int) -> list[int]:
    """Return the source offsets on one partition of `events.v1` that workers write, one of them late.

    Each worker writes what follows the highest source offset at its start; a paused one appends its batch later.
    """
    unique = sorted(draws.sample(range(2 * items), items))
    log: list[int] = []
    paused: list[list[int]] = []
    while not log or max(log) < unique[-1]:
        if paused and draws.random() < 0.4:
            log += paused.pop(draws.randrange(len(paused)))
            continue
        following = [source_offset for source_offset in unique if not log or source_offset > max(log)]
        batch = following[: draws.randint(1, 8)]
        if len(paused) < 3 and draws.random() < 0.3:
            paused.append(batch)
        if draws.random() < 0.8:
            log += batch
    return log + [source_offset for batch in paused for source_offset in batch]


def deliver(log: list[Event], draws: random.Random, *, keep_memory: bool = True) -> list[Event]:
    """Return what a consumer of *log* has in its output that stores its state now and then, and is killed at random."""
    output: list[Event] = []
    stored: tuple[str | None, int] = (None, 0)
    while True:
        state, length = stored
        del output[length:]
        consumer = SourceOffsets()
        offset = consumer.resume(0, state, log_start=0, log_end=len(log))
        if not keep_memory:
            consumer.resume(0, None, log_start=0, log_end=1)
        while offset < len(log) and draws.random() < 0.9:
            source, source_offset = log[offset]
            if consumer.is_new(0, offset, identify_headers(b"m", source_offset, source)):
                output.append(log[offset])
            offset += 1
            if draws.random() < 0.4:
                stored = (consumer.state(0), len(output))
        if offset == len(log):
            return output


def interleaved(draws: random.Random, sources: int, items: int) -> list[Event]:
    """Return the log of one partition that the workers of *sources* partitions write to: 1 for `events.v1`."""
    logs = [[(source, each) for each in written(draws, items)] for source in range(sources)]
    order = [source for source, log in enumerate(logs) for _ in log]
    draws.shuffle(order)
    following = [iter(log) for log in logs]
    return [next(following[source]) for source in order]


@given(seed=st.integers(0, 2**32), sources=st.integers(1, 3), items=st.integers(1, 40))
@settings(max_examples=200)
def test_every_source_offset_is_delivered_once_in_order(seed: int, sources: int, items: int) -> None:
    draws = random.Random(seed)
    log = interleaved(draws, sources, items)
    output = deliver(log, draws)

    for source in range(sources):
        assert [each for each in output if each[0] == source] == sorted({each for each in log if each[0] == source})


def test_logs_have_dips_that_a_consumer_without_memory_doubles() -> None:
    doubled = 0
    for seed in range(100):
        draws = random.Random(seed)
        log = interleaved(draws, 1, 60)
        doubled += deliver(log, draws, keep_memory=False) != sorted(set(log))

    assert doubled > 20


def test_file_needs_the_standard_library_alone(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import sequence_consumer as c; c.SourceOffsets()"

    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True, timeout=60)
    imported = [node for node in ast.walk(ast.parse(FILE.read_text())) if isinstance(node, ast.ImportFrom | ast.Import)]
    assert len(imported) >= 3


def test_headers_of_the_pipeline_are_read() -> None:
    assert origin_of(2, 0, event_headers(b"m", 17, 5, 6)) == (2, 17)
    assert origin_of(2, 0, identify_headers(b"m", 17, 3)) == (3, 17)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (None, "'origin' is missing"),
        ([("message_id", b"m")], "'origin' is missing"),
        ([("origin", None)], "None, not a number"),
        ([("origin", b"five")], "b'five', not a number"),
        ([("origin", b"1"), ("origin", b"2")], "'origin' is there twice"),
        ([("origin", b"1"), ("origin_partition", b"-1")], "'origin_partition' is b'-1'"),
    ],
)
def test_record_without_a_source_offset_is_refused(headers: sequence_consumer.Headers, reason: str) -> None:
    consumer = resumed(3)
    assert consumer.is_new(3, 7, event_headers(b"m", 5))
    before = consumer.state(3)

    with pytest.raises(InvalidOriginError, match=reason) as refused:
        consumer.is_new(3, 8, headers)

    assert str(refused.value).startswith("partition 3, offset 8: ")
    assert consumer.state(3) == before
    consumer.skip(3, 8)
    assert consumer.is_new(3, 9, event_headers(b"m", 6))


@pytest.mark.parametrize(
    "state",
    [
        *("nonsense", "null", "[]", "{}", '{"next_offset":1}', '{"next_offset":true,"source_offsets":{}}'),
        *('{"next_offset":-1,"source_offsets":{}}', '{"next_offset":1,"source_offsets":{"a":1}}'),
        *('{"next_offset":1,"source_offsets":{"0":"1"}}', '{"next_offset":1,"source_offsets":[1]}'),
    ],
)
def test_state_of_another_program_is_refused(state: str) -> None:
    with pytest.raises(InvalidStateError, match="was not written by"):
        SourceOffsets().resume(0, state, log_start=0, log_end=1)


def test_commit_without_metadata_is_no_state() -> None:
    with pytest.raises(InvalidStateError, match="committed without metadata"):
        SourceOffsets().resume(0, "", log_start=0, log_end=1)


def test_expired_records_can_be_accepted_as_lost() -> None:
    consumer = SourceOffsets()
    state = '{"next_offset":4,"source_offsets":{"0":8}}'

    with pytest.raises(MissedRecordsError, match="6 records expired"):
        consumer.resume(0, state, log_start=10, log_end=20)
    assert consumer.resume(0, state, log_start=10, log_end=20, accept_loss=True) == 10
    assert not consumer.is_new(0, 10, event_headers(b"m", 8))
    assert consumer.is_new(0, 11, event_headers(b"m", 30))


def test_partition_is_not_read_without_its_state() -> None:
    consumer = resumed(0)
    consumer.is_new(0, 0, event_headers(b"m", 5))
    with pytest.raises(RecreatedTopicError, match="continues at offset 4, but the topic ends at 3"):
        consumer.resume(0, '{"next_offset":4,"source_offsets":{"0":8}}', log_start=0, log_end=3)

    for partition in (0, 1):
        with pytest.raises(LookupError, match=f"partition {partition}: it was not resumed"):
            consumer.is_new(partition, 1, event_headers(b"m", 6))


def test_partition_without_records_has_no_state() -> None:
    consumer = SourceOffsets()
    assert consumer.resume(0, None, log_start=7, log_end=9) == 7

    with pytest.raises(LookupError, match="partition 0: no record was read yet"):
        consumer.state(0)


def test_state_of_200_source_partitions_fits_the_metadata_of_a_commit() -> None:
    consumer = resumed(0)
    for number in range(200):
        consumer.is_new(0, 10**9 + number, identify_headers(b"m", 10**10, number))

    assert len(consumer.state(0)) <= 4096
