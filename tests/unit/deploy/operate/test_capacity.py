"""The capacity model: what it counts, how it grows, and the settings that disks follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.operate import capacity, capacity_disk, capacity_plan
from deploy.operate.capacity import Load, Topology, occupied, rates, rounds
from deploy.operate.capacity_disk import Kept
from deploy.operate.capacity_plan import BUSY, SERVER_CORES, Plan, partitions_for_workers, plan
from gateway.kafka import linger
from processors.dedupe.stage import DedupeStage
from processors.engine.rocksdb import StoreConfig
from processors.persons.stage import FoldStage
from processors.sink import table_stage, writer
from processors.sink.stage import EventsStage

LOAD = Load(5_000, 600, 10)
KEPT = Kept(users=1_000_000, days=90)
DAY = 86_400
DISK = 2
"""Its place in `totals`."""


def totals(found: Plan) -> list[float]:
    cores, memory, disk = (
        sum(getattr(part, name) for part in found.parts) for name in ("cores", "memory_used", "disk_used")
    )
    return [cores, memory, disk, found.topology.partitions, found.topology.brokers]


def test_constants_are_those_of_the_stages() -> None:
    assert linger.LINGER_SECONDS == capacity.GATEWAY_LINGER_SECONDS
    assert DedupeStage.linger_seconds == capacity.DEDUPE_LINGER_SECONDS
    assert FoldStage.linger_seconds == capacity.PERSONS_LINGER_SECONDS
    assert EventsStage.linger_seconds == capacity.SINK_LINGER_SECONDS
    assert table_stage.TableStage.linger_seconds == capacity.TABLE_LINGER_SECONDS
    assert writer.INSERT_ROWS == capacity.INSERT_ROWS
    assert table_stage.CONCURRENT_BATCHES == capacity.INSERT_BATCHES
    store = StoreConfig()
    # Each partition has two, as its options say.
    assert 2 * store.write_buffer_bytes == capacity_plan.WRITE_BUFFERS_BYTES
    assert (store.buckets, store.tolerance_ms) == (capacity_disk.BUCKETS, 1000 * capacity_disk.TOLERANCE_SECONDS)


def test_stage_starts_with_each_arrival_or_once_in_a_linger() -> None:
    assert rounds(0, 0.1) == 0
    assert rounds(0.01, 0.1) == pytest.approx(0.01, rel=0.001)
    assert rounds(10_000, 0.1) == pytest.approx(10)


def test_records_occupy_at_most_every_partition() -> None:
    assert occupied(12, 0) == 0
    assert occupied(12, 1) == pytest.approx(1)
    assert occupied(12, 10_000) == pytest.approx(12)
    assert occupied(1, 0.3) == 0.3


def test_fewer_events_per_request_make_more_batches() -> None:
    single, hundred = (rates(Load(1_000, 300, 5, per_request=number), Topology(12)) for number in (1, 100))

    assert single.gateway.batches > hundred.gateway.batches
    assert single.dedupe.batches > hundred.dedupe.batches


@pytest.mark.parametrize(("partitions", "sinks", "inserts"), [(4, 1, 13), (6, 1, 26), (12, 1, 39), (8, 2, 26)])
def test_four_partitions_of_a_sink_share_an_insert(partitions: int, sinks: int, inserts: int) -> None:
    """Four a second into events, four into identifies, 2.5 into persons and duplicates each."""
    assert rates(LOAD, Topology(partitions, sinks=sinks)).inserts == pytest.approx(inserts, rel=0.02)


def test_no_load_makes_no_batches_and_takes_what_processes_take() -> None:
    nothing = replace(LOAD, events_per_second=0)

    assert rates(nothing, Topology(12)).inserts == 0
    assert 0 < sum(capacity.cores(nothing, Topology(12)).values()) < sum(capacity.cores(LOAD, Topology(12)).values())


@pytest.mark.parametrize("name", ["events_per_second", "event_bytes", "names", "identifies"])
@pytest.mark.parametrize("factor", [1.5, 4, 30])
def test_no_resource_shrinks_as_the_load_grows(name: str, factor: float) -> None:
    larger = replace(LOAD, **{name: min(getattr(LOAD, name) * factor, 1.0 if name == "identifies" else 1e9)})

    before, after = totals(plan(LOAD, KEPT)), totals(plan(larger, KEPT))
    # At the same bytes, more names leave less text, which compresses less.
    compared = [at for at in range(len(before)) if not (name == "names" and at == DISK)]
    assert all(after[at] >= before[at] for at in compared), (before, after)
    assert after[0] > before[0]


@pytest.mark.parametrize(
    "name", ["users", "days", "replicas", "standbys", "items_retention_days", "dedupe_window_days"]
)
def test_disk_grows_with_what_is_kept(name: str) -> None:
    larger = replace(KEPT, **{name: getattr(KEPT, name) + 10})

    assert totals(plan(LOAD, larger))[DISK] > totals(plan(LOAD, KEPT))[DISK]


def test_topics_keep_what_their_settings_say() -> None:
    each = capacity_disk.record_bytes(LOAD)
    sizes = capacity_disk.topic_bytes(LOAD, KEPT)
    # 7 days; events.v1 two days more than the dedupe window; each partition a segment of 1 GiB more; three copies.
    assert sizes["items.v1"] == pytest.approx(3 * (5_000 * 7 * DAY * each["items.v1"] + 12 * 2**30))
    assert sizes["events.v1"] == pytest.approx(3 * (4_950 * 9 * DAY * each["events.v1"] + 12 * 2**30))
    # A slow topic has its last week in one segment.
    slow = capacity_disk.topic_bytes(replace(LOAD, events_per_second=1), KEPT)
    assert slow["items.v1"] == pytest.approx(3 * 14 * DAY * each["items.v1"])
    longer = capacity_disk.topic_bytes(LOAD, replace(KEPT, items_retention_days=14))
    assert longer["events.v1"] == pytest.approx(3 * (4_950 * 14 * DAY * each["events.v1"] + 12 * 2**30))


def test_topics_are_those_that_hold_events() -> None:
    assert set(capacity_disk.topic_bytes(LOAD, KEPT)) == {
        *("items.v1", "events.v1", "duplicates.v1", "identifies.v1", "persons.v1")
    }


def test_entries_stay_for_the_window_and_a_bucket() -> None:
    assert capacity_disk.dedupe_entries(LOAD, KEPT) == pytest.approx(4_950 * (10.5 * DAY + 3600))
    stores = capacity_disk.store_bytes(LOAD, KEPT)
    assert capacity_disk.store_bytes(LOAD, replace(KEPT, standbys=1)) == {
        kind: 2 * size for kind, size in stores.items()
    }


def test_disks_hold_the_mean_and_cores_serve_the_peak() -> None:
    peak, mean = plan(LOAD, KEPT), plan(LOAD, KEPT, mean_per_second=1_000)

    assert totals(mean)[:2] == totals(peak)[:2]
    assert totals(mean)[DISK] < totals(peak)[DISK]


def test_every_process_is_busy_for_less_than_is_planned() -> None:
    found = plan(Load(200_000, 500, 10), KEPT)

    for part in found.parts:
        if part.part not in {"kafka", "clickhouse"}:
            assert part.cores_used / part.processes <= BUSY, part
    workers = max(found.topology.dedupe, found.topology.persons, found.topology.sinks)
    assert found.topology.partitions >= 2 * workers


def test_partitions_are_a_number_that_many_workers_divide() -> None:
    assert [partitions_for_workers(workers) for workers in (1, 6, 7, 13, 5_000)] == [12, 12, 24, 48, 10_000]


def test_clickhouse_beyond_one_server_is_noted() -> None:
    small, large = plan(LOAD, KEPT), plan(Load(3_000_000, 600, 10), KEPT)

    assert not [note for note in small.notes if "no shards" in note]
    [note] = [note for note in large.notes if "no shards" in note]
    needed = next(part.cores for part in large.parts if part.part == "clickhouse")
    assert needed > SERVER_CORES
    assert f"{needed:,.0f} cores" in note
