"""The ids of topics: what a worker keeps of them, and what it refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from processors.engine import topic_ids
from processors.engine.errors import LocalStateUnavailableError, TruncatedLogError
from processors.engine.topic_ids import FILE, TopicIds, check_ids
from schemas.settings import KafkaSettings


@pytest.fixture
def on_kafka(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The ids that the broker tells."""
    ids = {"items": "first", "events": "other"}

    async def read(settings: KafkaSettings, topics: object) -> dict[str, str]:
        del settings, topics
        return dict(ids)

    monkeypatch.setattr(topic_ids, "read_topic_ids", read)
    return ids


def test_another_id_is_refused_and_an_unknown_or_missing_topic_is_not() -> None:
    check_ids({"items": "1", "gone": "2"}, {"items": "1", "new": "3"})
    with pytest.raises(TruncatedLogError, match=r"items has the topic id 2, .* with the id 1.*deleted and recreated"):
        check_ids({"items": "1"}, {"items": "2"})


async def test_ids_are_kept_beside_the_local_state(tmp_path: Path, on_kafka: dict[str, str]) -> None:
    await TopicIds(KafkaSettings(), tmp_path).start(on_kafka)
    await TopicIds(KafkaSettings(), tmp_path).start(on_kafka)
    del on_kafka["events"]
    on_kafka["items"] = "second"
    with pytest.raises(TruncatedLogError, match="items has the topic id second"):
        await TopicIds(KafkaSettings(), tmp_path).start(on_kafka)
    assert [path.name for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir()))] == [FILE]


async def test_topic_that_is_created_again_is_noticed_by_a_running_worker(on_kafka: dict[str, str]) -> None:
    ids = TopicIds(KafkaSettings(), None)
    await ids.start(on_kafka)
    assert ids.known == on_kafka
    await ids.check()
    on_kafka["items"] = "second"
    with pytest.raises(TruncatedLogError):
        await ids.check()


async def test_broker_that_tells_no_ids_refuses_nothing(tmp_path: Path, on_kafka: dict[str, str]) -> None:
    await TopicIds(KafkaSettings(), tmp_path).start(on_kafka)
    on_kafka.clear()
    ids = TopicIds(KafkaSettings(), tmp_path)
    await ids.start(["items"])
    await ids.check()


@pytest.mark.parametrize("text", ["", "no JSON", "[]"])
async def test_damaged_file_is_written_again(tmp_path: Path, on_kafka: dict[str, str], text: str) -> None:
    (tmp_path / FILE).write_text(text)
    await TopicIds(KafkaSettings(), tmp_path).start(on_kafka)
    assert '"items": "first"' in (tmp_path / FILE).read_text()


async def test_file_that_cannot_be_written_is_reported(tmp_path: Path, on_kafka: dict[str, str]) -> None:
    with pytest.raises(LocalStateUnavailableError, match="Cannot write"):
        await TopicIds(KafkaSettings(), tmp_path / "missing").start(on_kafka)
