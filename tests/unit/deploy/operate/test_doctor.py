"""The checks of `sequence doctor`, each with a healthy and a sick value."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.commands.doctor import lines, probe_lines
from deploy.operate import doctor_kafka, doctor_local, doctor_result, doctor_table_rules
from deploy.operate.doctor_result import GIB, Check, Report
from deploy.operate.finding import Finding
from deploy.operate.kafka_reader import Members
from deploy.operate.lag import StageLag
from deploy.operate.offsets import Input
from deploy.operate.probe import Probe, Timed
from deploy.topic_admin import Refusal
from processors.clickhouse.migrate import read_migrations
from schemas.clickhouse import TABLES
from schemas.topics import Topic, Topics

NOW = 1_767_225_700.0
"""99 s after the items of the tests are received."""
DAY = 86_400


def levels(findings: list[Finding]) -> list[str]:
    assert all(each.what and each.why and each.remedy for each in findings)
    return [each.level for each in findings]


@pytest.mark.parametrize(
    ("free", "total", "expected"),
    [
        (50 * GIB, 100 * GIB, []),
        (9 * GIB, 20 * GIB, ["warning"]),
        (40 * GIB, 1000 * GIB, ["warning"]),
        (GIB, 9 * GIB, ["error"]),
    ],
)
def test_disk_with_little_space_is_reported(free: int, total: int, expected: list[str]) -> None:
    _, findings = doctor_result.disk("disk", "/d", free, total)

    assert levels(findings) == expected


def test_process_with_nearly_all_its_files_open_is_reported() -> None:
    used = [("kafka", (100, 1000)), ("sink-1", (850, 1000)), ("clickhouse", (995, 1000))]

    assert levels(list(doctor_local.judge_files(used))) == ["warning", "error"]


GOOD = {
    "retention.ms": "1000",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "message.timestamp.type": "LogAppendTime",
}
TOPIC = Topic("a.items.v1", 2, GOOD)


def partition(number: int, *, leader: int = 1, isr: int = 1) -> dict[str, Any]:
    return {"partition": number, "leader": leader, "replicas": [1], "isr": [1] * isr}


TWO = [partition(0), partition(1)]


@pytest.mark.parametrize(
    ("partitions", "settings", "expected"),
    [
        (TWO, GOOD, []),
        ([partition(0)], GOOD, ["error"]),
        ([partition(0, leader=-1), partition(1, isr=0)], GOOD, ["error", "warning"]),
        (TWO, {**GOOD, "message.timestamp.type": "CreateTime"}, ["error"]),
        (TWO, {**GOOD, "retention.ms": "500"}, ["error"]),
        (TWO, {**GOOD, "retention.ms": "2000"}, ["warning"]),
        (TWO, {**GOOD, "cleanup.policy": "compact"}, ["error"]),
        (TWO, {**GOOD, "retention.bytes": "1000"}, ["warning"]),
        (TWO, Refusal(29, "denied"), []),
    ],
)
def test_topic_is_compared_with_its_declaration(partitions: Any, settings: Any, expected: list[str]) -> None:
    check = doctor_kafka.topics([TOPIC], {TOPIC.name: partitions}, {TOPIC.name: settings})

    assert levels(check.findings) == expected


def sink(committed: int, log_start: int, age_seconds: float) -> StageLag:
    key = "a.events.v1", 0
    oldest = {key: int(1000 * (NOW - age_seconds))}
    return StageLag("sink", Members("Stable", ()), {key: Input(*key, log_start, 100, committed)}, oldest)


@pytest.mark.parametrize(("age", "expected"), [(0.1 * DAY, []), (0.6 * DAY, ["warning"]), (0.9 * DAY, ["error"])])
def test_lag_is_compared_with_the_retention(age: float, expected: list[str]) -> None:
    settings = {"a.events.v1": {"retention.ms": str(DAY * 1000), "cleanup.policy": "delete"}}

    assert levels(doctor_kafka.retention([sink(5, 0, age)], settings, NOW).findings) == expected


def test_records_that_expired_unread_name_the_command_that_accepts_the_loss() -> None:
    check = doctor_kafka.retention([sink(5, 9, 1.0)], {}, NOW)

    assert levels(check.findings) == ["error"]
    assert "offsets 5 to 8 were deleted" in check.findings[0].what
    assert "sequence positions accept --stage sink --partition 0" in check.findings[0].remedy


def test_topic_that_is_compacted_or_kept_for_ever_expires_nothing() -> None:
    for config in ({"cleanup.policy": "compact", "retention.ms": "1"}, {"retention.ms": "-1"}):
        assert doctor_kafka.retention([sink(5, 0, DAY)], {"a.events.v1": config}, NOW).findings == []


@pytest.mark.parametrize(("text", "expected"), [("26.9.2.1", []), ("26.8.15.10", []), ("25.3.1.1", ["warning"])])
def test_old_version_is_a_warning(text: str, expected: list[str]) -> None:
    assert levels(doctor_table_rules.version(text).findings) == expected


def test_settings_of_a_table_are_compared_with_the_migrations() -> None:
    declared = doctor_table_rules.declared_settings(text for each in read_migrations() for text in each.statements)
    assert declared["events"]["fsync_after_insert"] == "1"
    assert declared["events"]["object_shared_data_serialization_version"] == "map_with_buckets"
    assert {table.name for table in TABLES} <= declared.keys()

    shown = "CREATE TABLE x.events (`a` String) ENGINE = MergeTree ORDER BY a"
    shown += " SETTINGS fsync_after_insert = 0, index_granularity = 8192"
    (finding,) = doctor_table_rules.different_settings("events", {"fsync_after_insert": "1"}, shown)
    assert finding.what == "events has fsync_after_insert=0, declared is 1."
    assert list(doctor_table_rules.different_settings("events", {"index_granularity": "8192"}, shown)) == []


def test_missing_column_is_an_error() -> None:
    actual = {(table.name, name) for table in TABLES for name, _ in table.columns}
    names = {table.name for table in TABLES}
    assert list(doctor_table_rules.missing_columns(actual, names)) == []

    (finding,) = doctor_table_rules.missing_columns(actual - {("events", "_warnings")}, names)
    assert finding.what == "events lacks the columns _warnings."
    assert list(doctor_table_rules.missing_columns(set(), set())) == [], "a missing table is a missing migration"


def test_many_parts_are_reported() -> None:
    counts = {("events", "202601"): 20, ("events", "202602"): 400, ("duplicates", "202601"): 1200}

    assert levels(list(doctor_table_rules.many_parts(counts))) == ["warning", "error"]


def test_log_table_that_grows_without_a_ttl_is_reported() -> None:
    sizes = {"query_log": (2 * GIB, False), "part_log": (2 * GIB, True), "text_log": (1, False)}
    (finding,) = doctor_table_rules.growing_logs(sizes)

    assert "system.query_log has 2.0 GiB and no TTL." in finding.what
    assert "ALTER TABLE system.query_log MODIFY TTL" in finding.remedy


def test_thousands_of_names_are_reported_by_project() -> None:
    (finding,) = doctor_table_rules.many_names({"shop": (20, "price"), "blog": (5000, "post.4711")})

    assert "Project blog has sent about 5000 names" in finding.what


def test_table_below_the_last_commit_is_an_error() -> None:
    assert levels(doctor_table_rules.rolled_back([("events", 2, 10, 20)]).findings) == ["error"]
    assert doctor_table_rules.rolled_back([]).findings == []


def test_report_lists_checks_then_errors_then_warnings() -> None:
    warning, error = (
        Finding(level=level, check="disk", what=f"a {level}", why="why", remedy="do") for level in ("warning", "error")
    )
    checks = [
        Check(name="disk", about="little", findings=[warning, error]),
        Check(name="parts", about="3", findings=[]),
    ]
    report = Report(at="2026-01-01T00:00:00.000000Z", checks=checks)

    assert list(lines(report)) == [
        "CHECK  RESULT  FOUND\ndisk   error   little\nparts  ok      3",
        "",
        *("ERROR    disk: a error", "         why", "         do"),
        *("WARNING  disk: a warning", "         why", "         do"),
        "2 findings.",
    ]
    assert doctor_result.worst(report.findings) == "error"
    assert doctor_result.describe(report)["findings"][0]["what"] == "a error"


def test_check_that_cannot_be_made_is_a_warning() -> None:
    assert levels(doctor_result.unchecked("parts", "no permission").findings) == ["warning"]


def test_probe_shows_each_stage_and_what_was_not_reached() -> None:
    stages = [
        Timed(stage="accepted", seconds=0.0123, about="200"),
        Timed(stage="on items.v1", seconds=0.0154, about="partition 1, offset 2"),
    ]
    found = Probe(project_id="dev", message_id="probe-1", stages=stages, missing=["on events.v1"])
    text = "\n".join(probe_lines(found))

    assert "accepted      12 ms  +12 ms  200" in text
    assert "on items.v1   15 ms  +3 ms   partition 1, offset 2" in text
    assert "on events.v1  -      -       not reached in time" in text
    assert "sequence trace probe-1" in text


def test_topics_of_the_pipeline_are_checked_by_their_rules() -> None:
    declared = Topics("a").declare(partitions=2, items_retention_days=7, dedupe_window_days=7)
    settings = {topic.name: topic.config for topic in declared}
    described = {topic.name: [partition(number) for number in range(topic.partitions)] for topic in declared}

    assert doctor_kafka.topics(declared, described, settings).findings == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("doctor", "--project", "dev"), "--project belongs to --probe."),
        (("doctor", "--gateway", "nonsense"), "'nonsense' must be a URL that starts with http:// or https://"),
        (("status", "--max-lag", "5"), "'5' is not a duration."),
        (("trace",), "Missing argument 'MESSAGE_ID'."),
        (("trace", "m", "--seconds", "0"), "Invalid value for '--seconds'"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(main, list(arguments))

    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("command", ["status", "doctor", "trace"])
def test_help_documents_the_json_fields(command: str) -> None:
    assert "Fields of --json: " in CliRunner().invoke(main, [command, "--help"]).output


def test_probe_of_a_deployment_needs_a_gateway_and_a_token() -> None:
    environ = {"SEQUENCE_CLICKHOUSE_URL": "http://c:8123"}
    without_gateway = CliRunner().invoke(main, ["doctor", "--probe"], env=environ)
    without_token = CliRunner().invoke(main, ["doctor", "--probe", "--gateway", "http://g:8080"], env=environ)

    assert (without_gateway.exit_code, without_token.exit_code) == (2, 2)
    assert "--gateway http://127.0.0.1:8080" in without_gateway.output
    assert "SEQUENCE_PROBE_TOKEN: must be set to a write token of the project" in without_token.output


def test_project_of_which_most_items_are_rejected_is_reported() -> None:
    counts = {
        "shop": (40, 2, "event_required"),
        "noisy": (500, 9000, "item_too_large"),
        "tried": (9, 0, "invalid_type"),
    }
    (finding,) = doctor_table_rules.rejected_projects(counts)

    assert "Of project shop, 40 of 42 items" in finding.what
    assert "event_required" in finding.what


def test_checks_of_a_slow_clickhouse_that_were_left_out_are_named() -> None:
    check = doctor_table_rules.too_slow("http://c:8123", 20.0, ["views", "properties"])

    assert levels(check.findings) == ["warning"]
    assert "http://c:8123" in check.findings[0].what
    assert "Not checked: views, properties." in check.findings[0].what
