"""Rows that the engine refuses are set apart, and what the gateway accepts is never among them."""

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
from processors.rejected import RejectedTopic
from processors.sink.rows import blocks, item_rows
from processors.sink.stage import EventsStage
from schemas.clickhouse import EVENTS, IDENTIFIES
from schemas.items import Identify, Track
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.contracts.sinks import SinkWorld, held, places, refused, tracks
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
_next_origin = itertools.count()


@pytest.fixture
async def stage(sink_world: SinkWorld, kafka_settings: KafkaSettings, topics: Topics) -> AsyncIterator[EventsStage]:
    outputs = ChangelogProducer(kafka_settings)
    await outputs.start()
    made = EventsStage(topics, sink_world.sink, RejectedTopic(outputs, topics))
    await made.start(held)
    await made.learn(frozenset({0}))
    yield made
    await outputs.stop()


async def test_rows_that_are_refused_go_to_rejected_and_the_others_are_written(
    stage: EventsStage, sink_world: SinkWorld, kafka_settings: KafkaSettings, topics: Topics
) -> None:
    rows = tracks(range(200))
    for bad in (0, 77, 199):
        rows[bad] = refused(rows[bad])

    await stage.write_rows(EVENTS, rows, 0)

    good = [place for place in places(range(200)) if place[1] not in (0, 77, 199)]
    assert sink_world.stored(EVENTS) == good
    rejections = [
        msgspec.json.decode(record.value) for record in await asyncio.to_thread(read, kafka_settings, topics.rejected)
    ]
    assert {(told["code"], told["stage"], told["projectId"]) for told in rejections} == {("row_refused", "sink", "p")}
    contents = [json.loads(told["content"]) for told in rejections]
    assert sorted(content["message_id"] for content in contents) == ["m0-0", "m0-199", "m0-77"]
    await stage.write_rows(EVENTS, tracks(range(200, 210)), 0)
    assert sink_world.stored(EVENTS) == good + places(range(200, 210))


def accepted(texts: list[str]) -> list[Track | Identify]:
    """Return the items that the gateway makes of objects as properties and traits, without those it refuses."""
    made = (
        f'{{"type":"{kind}","userId":"u","event":"e","{name}":{text},"context":{text}}}'
        for text in texts
        for kind, name in (("track", "properties"), ("identify", "traits"))
    )
    envelope = parse_envelope(f'{{"batch":[{",".join(made)}]}}'.encode())
    result = validate_items(envelope, project_id="p", received_at=int(time.time() * 1e6))
    return result.accepted


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(texts=st.lists(_objects | _odd, min_size=10, max_size=60))
def test_the_engine_takes_any_json_that_the_gateway_accepts(clickhouse_sink: SinkWorld, texts: list[str]) -> None:
    records: list[Any] = [
        event_read(origin, item, origin=origin) for item, origin in zip(accepted(texts), _next_origin, strict=False)
    ]
    before = len(clickhouse_sink.stored(EVENTS)) + len(clickhouse_sink.stored(IDENTIFIES))
    rows = item_rows(records, 0)
    for table, made in ((EVENTS, rows.events), (IDENTIFIES, rows.identifies)):
        for block in blocks(table, made, 0, -1):
            clickhouse_sink.sink.insert([block], held)

    assert rows.unreadable == []
    assert len(clickhouse_sink.stored(EVENTS)) + len(clickhouse_sink.stored(IDENTIFIES)) == before + len(records)
