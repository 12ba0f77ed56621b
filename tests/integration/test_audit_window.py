"""The repeated audit on a real broker and the real engine: what is on its way is not missing, what is lost is named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.operate import audit_window
from deploy.operate.audit_balance import Balance
from deploy.operate.audit_window import WindowAudit
from deploy.operate.servers import Servers
from schemas.records import Record, duplicate_headers, item_record
from tests.integration.test_audit import audited, delete, sequence
from tests.support import logs
from tests.support.records import track
from tests.support.sink_pipeline import COUNT, Pipeline
from tests.support.worker_process import Worker


@pytest.fixture
def worker(pipeline: Pipeline, tmp_path: Path) -> Iterator[Worker]:
    """A sink that has written 400 events."""
    send(pipeline)
    with pipeline.worker(tmp_path) as started:
        started.until(pipeline.done, "all events are written")
        yield started


def send(pipeline: Pipeline, count: int = COUNT) -> None:
    """Write items and their events, and commit the items as dedupe does."""
    pipeline.send(count)
    commit(pipeline)


def commit(pipeline: Pipeline) -> None:
    """Commit every item for dedupe."""
    items = pipeline.topics.items
    logs.commit(pipeline.kafka, f"{pipeline.topics.prefix}-dedupe", items, logs.ends(pipeline.kafka, items))


def window_audit(pipeline: Pipeline, safe_seconds: float = 0.0) -> WindowAudit:
    return WindowAudit(Servers(pipeline.kafka, pipeline.clickhouse, is_local=False), safe_seconds=safe_seconds)


def check(audit: WindowAudit) -> Balance:
    balance = audit.check(time.time() + 1)
    topic = f"{audit.servers.kafka.topic_prefix}.items.v1"
    assert balance.items == balance.unique + balance.duplicates + balance.rejected + balance.missing[topic]
    assert balance.items == balance.compared[topic]
    return balance


def summary(balance: Balance) -> tuple[int, int, int, int]:
    """Return items, missing, unexpected and repeated."""
    missing, unexpected, repeated = balance.missing.values(), balance.unexpected.values(), balance.repeated.values()
    return balance.items, sum(missing), sum(unexpected), sum(repeated)


def test_deleted_row_is_named_until_it_is_refilled(pipeline: Pipeline, worker: Worker) -> None:
    audit = window_audit(pipeline)
    assert summary(check(audit)) == (400, 0, 0, 0)

    delete(pipeline, "events", "message_id = 'm1'")
    delete(pipeline, "identifies", "message_id = 'm4'")
    balance = check(audit)

    assert balance.missing == {
        f"{pipeline.topics.prefix}.{name}.v1": 2 if name == "events" else 0
        for name in ("items", "events", "duplicates", "rejected")
    }
    assert [line.partition(",")[0] for line in sorted(balance.lines)] == ["events", "identifies"]
    assert not balance.adds_up
    assert audited(pipeline, "--refill")[0] == 0
    send(pipeline)
    worker.until(pipeline.done, "later events are written")
    assert summary(check(audit)) == (800, 0, 0, 0)


def test_what_is_on_its_way_is_not_missing(pipeline: Pipeline, worker: Worker) -> None:
    audit = window_audit(pipeline)
    for _ in range(5):
        send(pipeline)
        found = check(audit)
        assert found.adds_up, found.lines
    worker.until(pipeline.done, "all events are written")
    logs.write(pipeline.kafka, pipeline.topics.items, [item_record(track("unprocessed"))])
    found = check(audit)
    assert (found.adds_up, found.items) == (True, len(pipeline.items))
    assert worker.running


def test_items_that_dedupe_lost_are_named(pipeline: Pipeline, worker: Worker) -> None:
    audit = window_audit(pipeline)
    logs.write(pipeline.kafka, pipeline.topics.items, [item_record(track(f"lost{number}")) for number in range(3)])
    commit(pipeline)

    found = check(audit)

    assert worker.running
    assert found.missing[pipeline.topics.items] == 3
    assert "neither on events.v1 nor on duplicates.v1" in " ".join(found.lines)


def test_item_that_is_unique_and_a_duplicate_is_unexpected(pipeline: Pipeline, worker: Worker) -> None:
    audit = window_audit(pipeline)
    item = item_record(pipeline.items[0])
    repeat = Record(item.key, item.value, duplicate_headers(0, 0, same_content=True))
    logs.write(pipeline.kafka, pipeline.topics.duplicates, [repeat])

    found = check(audit)

    assert worker.running
    assert found.unexpected[pipeline.topics.items] == 1


def test_rows_that_were_removed_on_purpose_are_not_missing(pipeline: Pipeline, worker: Worker) -> None:
    assert sequence(pipeline, "positions", "keep").exit_code == 0
    delete(pipeline, "events", "_origin < 20")

    assert check(window_audit(pipeline)).adds_up
    assert worker.running


def test_items_within_the_safe_time_are_not_compared(pipeline: Pipeline, worker: Worker) -> None:
    delete(pipeline, "events", "message_id = 'm1'")

    assert summary(window_audit(pipeline, safe_seconds=3600.0).check(time.time())) == (0, 0, 0, 0)
    assert not check(window_audit(pipeline)).adds_up
    assert worker.running


def test_round_beyond_the_limit_compares_the_newest_items(
    pipeline: Pipeline, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_window, "MOST_RECORDS", 4 * 30)
    monkeypatch.setattr("deploy.operate.audit_tail.WINDOW_RECORDS", 10)
    audit = window_audit(pipeline)
    first = check(audit)
    assert (first.adds_up, 0 < first.items <= 4 * 30) == (True, True)

    delete(pipeline, "events", "message_id = 'm379'")
    assert sum(check(audit).missing.values()) == 1
    assert worker.running


def test_safe_time_holds_again_after_a_round_beyond_the_limit(
    pipeline: Pipeline, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_window, "MOST_RECORDS", 4 * 30)
    monkeypatch.setattr("deploy.operate.audit_tail.WINDOW_RECORDS", 10)
    audit = window_audit(pipeline, safe_seconds=3000.0)

    assert [check(audit).items > 0, check(audit).items > 0] == [True, False]
    assert worker.running
