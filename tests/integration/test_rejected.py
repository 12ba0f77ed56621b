"""Rejections from `rejected.v1` to the table, on a real broker and the real engine: a row for each record, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from deploy.cli import main
from schemas.items import Rejection
from schemas.records import Record, encode_item, event_headers, item_key, item_record, rejection_record
from schemas.settings import environment
from tests.support import logs
from tests.support.marks import in_make_faults
from tests.support.records import track
from tests.support.sink_pipeline import Pipeline

COUNT = 300
AT = "2026-01-01T00:00:09.000000Z"


def gateway_rejections() -> list[Record]:
    """Return rejections of which every tenth has content that is no text, and one record that is no rejection."""
    rejection = Rejection("p", "gateway", "event_required", "`event` is required.", AT, "event", None, "r")
    contents = [b'{"type":"track","userId":"u%d"}' % number for number in range(COUNT)]
    contents[::10] = [b"\xff%d" % number for number in range(0, COUNT, 10)]
    return [*(rejection_record(rejection, content) for content in contents), Record(b"p/x", b"no rejection")]


def done(pipeline: Pipeline) -> bool:
    """Return whether the sink has committed every event and every rejection, its own included."""
    group, rejected = f"{pipeline.topics.prefix}-sink", pipeline.topics.rejected
    ends = sum(logs.ends(pipeline.kafka, rejected).values())
    return pipeline.done() and ends > COUNT + 1 and logs.committed(pipeline.kafka, group, rejected) == ends


@pytest.mark.parametrize("point", ["inserted:1", *in_make_faults("inserted:2")])
def test_every_rejection_is_one_row_although_the_sink_is_killed(pipeline: Pipeline, tmp_path: Path, point: str) -> None:
    wrong = msgspec.structs.replace(track("wrong"), timestamp="never")
    # As dedupe writes it: a source offset that `items.v1` has.
    logs.write(pipeline.kafka, pipeline.topics.items, [item_record(wrong)])
    logs.write(pipeline.kafka, pipeline.topics.rejected, gateway_rejections())
    pipeline.send_events([Record(item_key("p", "wrong"), encode_item(wrong), event_headers(b"wrong", 0))])

    with pipeline.worker(tmp_path, SEQUENCE_TEST_KILL_AT=point) as worker:
        worker.until(lambda: done(pipeline), "all is written")
        assert worker.exits == 1, worker.log

    records = logs.read(pipeline.kafka, pipeline.topics.rejected)
    rows = pipeline.query("SELECT *, _partition, _origin FROM rejected")
    assert sorted((int(row["_partition"]), int(row["_origin"])) for row in rows) == sorted(
        (record.partition, record.offset) for record in records
    )
    assert sum(bool(row["is_base64"]) for row in rows) == COUNT // 10
    assert [row["message_id"] for row in rows if row["code"] == "not_a_rejection"] == [""]
    [own] = {row["source_offset"]: row for row in rows if row["code"] == "row_rejected"}.values()
    assert (own["stage"], own["table_name"], own["field"], own["value"]) == ("sink", "events", "timestamp", '"never"')
    assert (own["source_topic"], int(own["source_offset"]), own["message_id"]) == ("items.v1", 0, "wrong")


def test_rejection_whose_row_was_deleted_is_written_again_by_a_refill(pipeline: Pipeline, tmp_path: Path) -> None:
    logs.write(pipeline.kafka, pipeline.topics.rejected, gateway_rejections())
    group, topic = f"{pipeline.topics.prefix}-sink", pipeline.topics.rejected
    with pipeline.worker(tmp_path) as worker:
        worker.until(lambda: logs.committed(pipeline.kafka, group, topic) == COUNT + 1, "all is written")
        name = f"{pipeline.clickhouse.database}.rejected"
        pipeline.execute(f"SYSTEM START MERGES {name}", "DELETE FROM rejected WHERE _origin = 5")
        gone = COUNT + 1 - len(pipeline.query("SELECT 1 AS one FROM rejected"))
        report = audit(pipeline, "--refill")

    assert gone > 0
    assert (report["missing"], report["written"]) == (0, gone)
    assert len(pipeline.query("SELECT 1 AS one FROM rejected")) == COUNT + 1


def audit(pipeline: Pipeline, *options: str) -> dict[str, Any]:
    """Return the report of `sequence audit`."""
    environ = {**environment(pipeline.kafka), **environment(pipeline.clickhouse)}
    result = CliRunner().invoke(main, ["audit", "--json", *options], env=environ)
    report: dict[str, Any] = msgspec.json.decode(result.stdout)
    return report
