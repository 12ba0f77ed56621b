"""`sequence trace`, `sequence status` and `sequence doctor` on a real broker and the real engine, stage by stage."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from deploy.cli import main
from deploy.operate import offsets
from gateway.projects.admin import create_project, create_token
from schemas.items import Rejection
from schemas.projects import digest
from schemas.records import Record, duplicate_headers, encode_item, item_key, item_record, rejection_record
from schemas.settings import ClickHouseSettings, environment
from schemas.times import format_time
from tests.integration.test_audit import delete
from tests.support import logs
from tests.support.records import track
from tests.support.services import eventually
from tests.support.sink_pipeline import Pipeline

PROJECT = "p"
TOKEN_ID = "0123456789abcdef"


def sequence(pipeline: Pipeline, *arguments: str, clickhouse: ClickHouseSettings | None = None) -> Result:
    """Run a command with the settings of *pipeline*."""
    environ = {**environment(pipeline.kafka), **environment(clickhouse or pipeline.clickhouse)}
    result = CliRunner().invoke(main, list(arguments), env=environ)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def traced(pipeline: Pipeline, message_id: str, **options: Any) -> list[dict[str, Any]]:
    """Return the occurrences of *message_id*."""
    result = sequence(pipeline, "trace", message_id, "--json", **options)
    assert result.stdout, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["occurrences"]
    assert result.exit_code == (0 if found else 1)
    return found


@pytest.fixture
def project(pipeline: Pipeline) -> Pipeline:
    """The pipeline with the project of its items, and 400 events that no worker has read."""
    asyncio.run(create_project(pipeline.kafka, PROJECT, "Test"))
    asyncio.run(create_token(pipeline.kafka, PROJECT))
    pipeline.send()
    return pipeline


@pytest.fixture
def written(project: Pipeline, tmp_path: Path) -> Iterator[Pipeline]:
    """The same with the rows, and a sink that runs."""
    # As if a dedupe worker had written the events.
    done = {(project.topics.items, partition): offset for partition, offset in project.next_offset.items()}
    asyncio.run(offsets.commit(project.kafka, f"{project.topics.prefix}-dedupe", done))
    with project.worker(tmp_path) as worker:
        worker.until(project.done, "all events are written")
        yield project


def test_item_that_no_stage_has_read_waits_for_dedupe(project: Pipeline) -> None:
    items = [track("a"), track("a")]
    logs.write(project.kafka, project.topics.items, [item_record(item) for item in items])
    found = traced(project, "a")

    assert [(each["dedupe"], each["row"], each["waiting"]["stage"]) for each in found] == [
        ("waiting", "waiting", "dedupe")
    ] * 2
    assert found[1]["waiting"]["records"] == found[0]["waiting"]["records"] + 1
    assert found[0]["offset"] == project.next_offset[found[0]["partition"]]


def test_event_waits_for_the_sink_until_its_row_is_visible(project: Pipeline, tmp_path: Path) -> None:
    (before,) = traced(project, "m5")
    assert (before["dedupe"], before["row"], before["table"]) == ("unique", "waiting", "events")
    assert before["waiting"]["stage"] == "sink"
    assert before["waiting"]["seconds"] >= 0

    with project.worker(tmp_path) as worker:
        worker.until(project.done, "all events are written")
        (after,) = traced(project, "m5")
        (of_identify,) = traced(project, "m4")

    assert (after["row"], after["waiting"], after["log"]) == ("visible", None, 1)
    assert after["visibleBy"] is not None
    assert (after["partition"], after["offset"]) == (before["partition"], before["offset"])
    assert (of_identify["table"], of_identify["persons"]) == ("identifies", "folded")


def test_row_that_was_removed_on_purpose_is_not_missing(written: Pipeline) -> None:
    (erased,) = traced(written, "m6")
    delete(written, "events", "message_id IN ('m5', 'm6')")
    place = f"'events', 1, {erased['partition']}, {erased['offset']}, '{PROJECT}', 'an-erasure'"
    columns = "table_name, _log, _partition, _origin, project_id, erasure"
    written.execute(f"INSERT INTO _removed ({columns}) VALUES ({place})")  # noqa: S608  # our own names and numbers
    assert [traced(written, name)[0]["row"] for name in ("m5", "m6")] == ["missing", "erased"]
    assert "not in events: erasure an-erasure covers it" in sequence(written, "trace", "m6").stdout

    assert sequence(written, "positions", "keep").exit_code == 0
    assert [traced(written, name)[0]["row"] for name in ("m5", "m6")] == ["removed", "erased"]
    assert "not in events: it was removed on purpose" in sequence(written, "trace", "m5").stdout


def test_duplicate_names_its_first_item_before_and_after_its_row(written: Pipeline) -> None:
    (first,) = traced(written, "m5")
    repeat = Record(
        item_key(PROJECT, "m5"),
        encode_item(track("m5")),
        duplicate_headers(first["offset"] + 1000, first["offset"], same_content=True),
    )
    logs.write(written.kafka, written.topics.duplicates, [repeat])
    second = traced(written, "m5")[1]
    assert (second["dedupe"], second["table"]) == ("duplicate", "duplicates")
    assert second["first"] == {"offset": first["offset"], "receivedAt": first["receivedAt"]}

    eventually(lambda: traced(written, "m5")[1]["row"] == "visible", "the duplicate has a row")
    third = traced(written, "m5")[1]
    assert (third["dedupe"], third["table"], third["first"]) == ("duplicate", "duplicates", second["first"])


def test_rejected_item_says_why_and_where_its_content_lies(project: Pipeline) -> None:
    rejection = Rejection(
        *(PROJECT, "gateway", "user_id_required", "It is required.", "2026-01-01T00:00:00.000000Z", "userId", "bad"),
        token_id=TOKEN_ID,
    )
    logs.write(project.kafka, project.topics.rejected, [rejection_record(rejection, b'{"type":"track"}')])
    (found,) = traced(project, "bad")

    assert (found["verdict"], found["rejected"]["code"], found["rejected"]["field"]) == (
        *("rejected", "user_id_required", "userId"),
    )
    assert found["rejected"]["place"]["topic"] == "rejected.v1"
    assert (found["tokenId"], found["possibleTokens"]) == (TOKEN_ID, [{"id": TOKEN_ID, "hint": ""}])


def test_item_names_the_token_that_sent_it(project: Pipeline) -> None:
    token = asyncio.run(create_token(project.kafka, PROJECT))
    token_id = digest(token)[:16]
    now = format_time(time.time_ns() // 1000)
    for message_id, sent_with in (("known", token_id), ("unknown", "")):
        item = structs.replace(track(message_id), received_at=now, token_id=sent_with)
        logs.write(project.kafka, project.topics.items, [item_record(item)])
    (named,), (unnamed,) = traced(project, "known"), traced(project, "unknown")
    assert [each["id"] for each in named["possibleTokens"]] == [named["tokenId"]] == [token_id]
    assert re.search(rf"^ +Token +{token_id} \(seq_p_", sequence(project, "trace", "known").output, re.MULTILINE)
    # Both tokens of the project may have sent an item of an earlier version.
    assert (unnamed["tokenId"], len(unnamed["possibleTokens"])) == ("", 2)
    assert "one of" in sequence(project, "trace", "unknown").output


def test_deleted_row_is_missing_in_its_table(written: Pipeline) -> None:
    name = f"{written.clickhouse.database}.events"
    written.execute(
        f"SYSTEM START MERGES {name}", "DELETE FROM events WHERE message_id = 'm5'", f"SYSTEM STOP MERGES {name}"
    )
    (found,) = traced(written, "m5")

    assert (found["row"], found["dedupe"], found["output"]["topic"]) == ("missing", "unique", "events.v1")
    assert "run `sequence audit`" in sequence(written, "trace", "m5").output


def test_unknown_message_says_where_was_looked_and_since_when(written: Pipeline) -> None:
    result = sequence(written, "trace", "nobody", "--project", PROJECT)

    assert result.exit_code == 1
    assert "No item of project p with the messageId nobody was found." in result.output
    assert "Tables: events, identifies, duplicates, rejected." in result.output
    assert "items.v1: read " in result.output
    assert "all that can have this messageId." in result.output

    unknown = sequence(written, "trace", "m5", "--project", "nowhere")
    assert (unknown.exit_code, unknown.output) == (
        *(1, "Error: There is no project nowhere. `sequence project list` shows all.\n"),
    )


def test_topics_answer_while_clickhouse_does_not(written: Pipeline) -> None:
    down = replace(written.clickhouse, url="http://127.0.0.1:1")
    result = sequence(written, "trace", "m5", clickhouse=down)

    assert result.exit_code == 0, result.output
    assert "Stored    items.v1, partition" in result.output
    assert "Dedupe    unique\n  Row       unknown" in result.output
    assert "The tables were not searched. ClickHouse at http://127.0.0.1:1 is unreachable" in result.output


def test_status_names_stages_without_workers_and_their_lag(project: Pipeline, tmp_path: Path) -> None:
    result = sequence(project, "status", "--json")
    found = json.loads(result.stdout)
    stages = {stage["name"]: stage for stage in found["stages"]}

    assert result.exit_code == 1
    assert {each["check"] for each in found["findings"]} == {"dedupe", "persons", "sink"}
    assert stages["dedupe"]["lagRecords"] == stages["sink"]["lagRecords"] == 400
    assert stages["dedupe"]["lagSeconds"] >= 0
    with project.worker(tmp_path) as worker:
        worker.until(project.done, "all events are written")
        found = json.loads(sequence(project, "status", "--json").stdout)

    sink = found["stages"][2]
    assert (sink["members"], sink["state"], sink["lagRecords"], sink["lagSeconds"]) == (1, "Stable", 0, 0.0)
    assert {each["check"] for each in found["findings"]} == {"dedupe", "persons"}
    assert found["kafka"]["isUp"]
    assert found["clickhouse"]["isUp"]


def test_status_names_the_server_that_is_down(pipeline: Pipeline) -> None:
    down = replace(pipeline.clickhouse, url="http://127.0.0.1:1")
    result = sequence(pipeline, "status", clickhouse=down)

    assert result.exit_code == 1
    assert "ERROR    ClickHouse: ClickHouse at http://127.0.0.1:1 is unreachable: Connection refused." in result.output
    nothing = replace(pipeline, kafka=replace(pipeline.kafka, bootstrap_servers="127.0.0.1:1"))
    result = sequence(nothing, "status", clickhouse=down)
    assert result.exit_code == 1
    assert "ERROR    Kafka: Kafka at 127.0.0.1:1 is unreachable." in result.output


def doctored(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return what `sequence doctor` finds, by check.

    The workers that these tests do not start and the disk of this machine are left out, and the clocks: the items of
    these tests were received long ago.
    """
    report = json.loads(sequence(pipeline, "doctor", "--json").stdout)
    found: dict[str, list[str]] = {}
    for each in report["findings"]:
        if each["check"] not in {"dedupe", "persons", "sink", "disk", "clocks"}:
            found.setdefault(each["check"], []).append(each["what"])
    return found


def test_doctor_finds_what_differs_and_nothing_else(written: Pipeline) -> None:
    assert doctored(written) == {}

    written.execute(
        "ALTER TABLE events MODIFY SETTING fsync_after_insert = 0",
        "INSERT INTO events (project_id, message_id, properties, received_at)"
        " SELECT 'names', toString(number), concat('{\"n', toString(number), '\": 1}')::JSON, now64(6)"
        " FROM numbers(3000)",
        "CREATE TABLE target (n UInt8) ENGINE = MergeTree ORDER BY n",
        "CREATE MATERIALIZED VIEW bad TO target AS SELECT throwIf(project_id = 'names') AS n FROM events",
    )
    found = doctored(written)

    assert found.keys() == {"tables", "views", "properties"}
    assert found["tables"] == ["events has fsync_after_insert=0, declared is 1."]
    assert "The materialized view" in found["views"][0]
    assert "Project names has sent about" in found["properties"][0]


def test_doctor_finds_a_table_that_lost_its_newest_rows(written: Pipeline) -> None:
    name = f"{written.clickhouse.database}.events"
    written.execute(
        f"SYSTEM START MERGES {name}", "DELETE FROM events WHERE _origin > 10", f"SYSTEM STOP MERGES {name}"
    )
    found = doctored(written)

    assert found.keys() == {"positions"}
    assert all(
        re.search(r"the rows show source offset \d+, but the sink had written \d+", text) for text in found["positions"]
    )


def test_search_for_a_message_uses_the_skip_index_of_each_table(pipeline: Pipeline) -> None:
    for table in ("events", "identifies", "duplicates", "rejected"):
        rows = "SELECT toString(number), now64(6) FROM numbers(10)"
        pipeline.execute(f"INSERT INTO {table} (message_id, received_at) {rows}")
        plan = pipeline.query(f"EXPLAIN indexes = 1 SELECT _origin FROM {table} WHERE message_id = 'm5'")  # noqa: S608  # our own
        assert "Name: message_id" in "\n".join(str(row["explain"]).strip() for row in plan), table
