"""Rows that ClickHouse rejects are isolated, and it rejects nothing that the gateway accepts."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items
from processors.engine.producer import ChangelogProducer
from processors.rejected_topic import RejectedTopic
from processors.sink.rows import blocks, item_rows
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, IDENTIFIES
from schemas.items import Identify, Track
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.contracts.sinks import SinkCase, row_positions, tracks, unstorable, valid_lease
from tests.support.logs import read
from tests.support.records import event_read
from tests.unit.gateway.ingest.json_texts import ODD

NAMES = ["a", "b", "c", "a.b", "a.b.c", "", ".", "..", "`a`", '"', "'", "\\", "%2E", "\0", "é", "Nullable(Int8)"]
_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "2026-01-01", "2026-01-01T00:00:00Z", "1", "null", "{}", "'); DROP TABLE events; --", "\0"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
_objects = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), _values, max_size=5).map(json.dumps)
_odd = st.sampled_from(ODD).map(lambda text: f'{{"a":{text},"b.c":1,"b":{text},"d":[{text},{{"e":{text}}}]}}')
_next_offset = itertools.count()


@pytest.fixture
async def writer(sink_case: SinkCase, kafka_settings: KafkaSettings, topics: Topics) -> AsyncIterator[TableWriter]:
    outputs = ChangelogProducer(kafka_settings)
    await outputs.start()
    made = TableWriter(EVENTS, sink_case.sink, RejectedTopic(outputs, topics, "sink"))
    made.start(valid_lease)
    await made.load_positions([0])
    yield made
    await outputs.stop()


async def test_rejected_rows_go_to_the_topic_and_the_others_are_written(
    writer: TableWriter, sink_case: SinkCase, kafka_settings: KafkaSettings, topics: Topics
) -> None:
    rows = tracks(range(200))
    for bad in (0, 77, 199):
        rows[bad] = unstorable(rows[bad])

    await writer.write_rows(rows, 0)

    good = [(partition, offset) for partition, offset in row_positions(range(200)) if offset not in (0, 77, 199)]
    assert sink_case.stored(EVENTS) == good
    rejections = [
        msgspec.json.decode(record.value) for record in await asyncio.to_thread(read, kafka_settings, topics.rejected)
    ]
    assert {(each["code"], each["stage"], each["projectId"]) for each in rejections} == {("row_rejected", "sink", "p")}
    contents = [json.loads(each["content"]) for each in rejections]
    assert sorted(content["message_id"] for content in contents) == ["m0-0", "m0-199", "m0-77"]
    await writer.write_rows(tracks(range(200, 210)), 0)
    assert sink_case.stored(EVENTS) == good + row_positions(range(200, 210))


def accepted(texts: list[str]) -> list[Track | Identify]:
    """Return the items that the gateway accepts with *texts* as properties and traits."""
    made = (
        f'{{"type":"{kind}","userId":"u","event":"e","{name}":{text},"context":{text}}}'
        for text in texts
        for kind, name in (("track", "properties"), ("identify", "traits"))
    )
    envelope = parse_envelope(f'{{"batch":[{",".join(made)}]}}'.encode())
    result = validate_items(envelope, project_id="p", received_at=int(time.time() * 1e6))
    return result.accepted


@settings(max_examples=30, suppress_health_check=list(HealthCheck), derandomize=True)
@given(texts=st.lists(_objects | _odd, min_size=10, max_size=60))
def test_engine_stores_any_json_that_the_gateway_accepts(clickhouse_sink: SinkCase, texts: list[str]) -> None:
    records: list[Any] = [
        event_read(offset, item, source_offset=offset)
        for item, offset in zip(accepted(texts), _next_offset, strict=False)
    ]
    before = len(clickhouse_sink.stored(EVENTS)) + len(clickhouse_sink.stored(IDENTIFIES))
    rows = item_rows(records, 1, 0)
    for table, made in ((EVENTS, rows.events), (IDENTIFIES, rows.identifies)):
        for block in blocks(table, made, 0, -1):
            clickhouse_sink.sink.insert([block], valid_lease)

    assert rows.rejected == []
    assert len(clickhouse_sink.stored(EVENTS)) + len(clickhouse_sink.stored(IDENTIFIES)) == before + len(records)
