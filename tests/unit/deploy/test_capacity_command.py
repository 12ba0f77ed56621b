"""`sequence capacity`: its arguments, its table and its JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main

ARGUMENTS = {"--events-per-second": "5000", "--bytes": "600", "--names": "10", "--users": "1000000", "--days": "90"}


def run(*flags: str, changed: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> Result:
    words = [word for pair in (ARGUMENTS | (changed or {})).items() for word in pair]
    return CliRunner().invoke(main, ["capacity", *words, *flags], env=environ)


def described(environ: dict[str, str] | None = None) -> Any:
    return json.loads(run("--json", environ=environ).output)


@pytest.mark.parametrize("missing", ARGUMENTS)
def test_missing_argument_is_named(missing: str) -> None:
    words = [word for name, value in ARGUMENTS.items() if name != missing for word in (name, value)]
    result = CliRunner().invoke(main, ["capacity", *words])

    assert (result.exit_code, missing in result.output) == (2, True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--events-per-second": "0"}, "--events-per-second"),
        ({"--events-per-second": "nan"}, "--events-per-second"),
        ({"--events-per-second": "many"}, "--events-per-second"),
        ({"--bytes": "0"}, "--bytes"),
        ({"--names": "-1"}, "--names"),
        ({"--users": "-1"}, "--users"),
        ({"--days": "0"}, "--days"),
        ({"--per-request": "0"}, "--per-request"),
        ({"--identifies": "nan"}, "--identifies"),
        ({"--identifies": "101"}, "--identifies"),
        ({"--duplicates": "-1"}, "--duplicates"),
        ({"--replicas": "0"}, "--replicas"),
        ({"--names": "200"}, "--bytes 600 is too little for --names 200"),
        ({"--mean-per-second": "5001"}, "--mean-per-second is more than --events-per-second"),
    ],
)
def test_wrong_argument_is_named(changed: dict[str, str], said: str) -> None:
    result = run(changed=changed)

    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_invalid_setting_is_named() -> None:
    result = run(environ={"SEQUENCE_DEDUPE_WINDOW_DAYS": "0"})

    assert (result.exit_code, "SEQUENCE_DEDUPE_WINDOW_DAYS" in result.output) == (2, True)


def test_table_has_each_part_and_what_is_kept() -> None:
    output = run().output

    for name in ("gateway", "dedupe", "persons", "sink", "kafka", "clickhouse", "total", "items.v1", "person_states"):
        assert re.search(rf"^{re.escape(name)} ", output, re.MULTILINE), name
    assert "Brokers              3\nPartitions           12\n" in output


def test_json_has_what_the_table_has() -> None:
    found = described()

    assert set(found) == {
        *("load", "kept", "partitions", "brokers", "parts", "topics", "tables", "stores", "kafkaBytesPerSecond"),
        *("limits", "notes"),
    }
    assert [part["part"] for part in found["parts"]] == [
        *("gateway", "dedupe", "persons", "sink", "kafka", "clickhouse")
    ]
    assert found["brokers"] == 3
    assert found["kept"]["days"] == 90


def test_settings_of_topics_and_workers_count() -> None:
    environ = {
        "SEQUENCE_ITEMS_RETENTION_DAYS": "14",
        "SEQUENCE_DEDUPE_WINDOW_DAYS": "3.5",
        "SEQUENCE_WORKER_STANDBYS": "1",
    }
    before, after = described(), described(environ)

    assert after["topics"]["items.v1"] > 1.5 * before["topics"]["items.v1"]
    # Half of the window, in two copies; the hour that clocks may differ counts in full.
    assert after["stores"]["dedupe"] == pytest.approx(before["stores"]["dedupe"], rel=0.01)
    assert after["stores"]["persons"] == 2 * before["stores"]["persons"]


def test_money_is_not_mentioned() -> None:
    assert not re.search(r"\$|€|USD|price|cost", run().output)
