"""The log lines about INSERTs that fail."""

from __future__ import annotations

import logging

import pytest

from processors.clickhouse.errors import ClickHouseError, UnavailableError
from processors.sink.outage_log import OutageLog, reason


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="processors.sink.outage_log")
    return caplog


def test_fault_of_the_table_names_its_meaning_and_what_to_do(lines: pytest.LogCaptureFixture) -> None:
    outage = OutageLog("events")
    error = ClickHouseError("Code: 469. DB::Exception: Constraint `c` for table d.events is violated", 469)
    outage.block_refused(error, first=True)
    for _ in range(50):
        outage.block_refused(error, first=False)
    outage.answered()
    outage.block_done()

    refused, taken = lines.records
    assert (refused.levelno, taken.levelno) == (logging.ERROR, logging.INFO)
    assert refused.getMessage() == (
        "events: ClickHouse does not take rows, retrying until this is corrected. A constraint of the table rejects "
        "rows. Change or drop the constraint. 1 attempts failed in 0 s. The last error: Code: 469. DB::Exception: "
        "Constraint `c` for table d.events is violated"
    )
    assert taken.getMessage() == "events: ClickHouse takes the rows again: 51 attempts failed in 0 s"


def test_another_fault_within_an_outage_is_logged_at_once(lines: pytest.LogCaptureFixture) -> None:
    outage = OutageLog("events")
    outage.failed(ClickHouseError("Code: 60. DB::Exception: no table", 60))
    outage.failed(ClickHouseError("Code: 497. DB::Exception: no grant", 497))
    outage.failed(ClickHouseError("Code: 497. DB::Exception: no grant", 497))

    assert [record.levelname for record in lines.records] == ["ERROR", "ERROR"]
    assert "sequence tables migrate" in lines.messages[0]
    assert "lacks a permission" in lines.messages[1]


def test_success_of_others_does_not_end_the_outage_of_a_block(lines: pytest.LogCaptureFixture) -> None:
    outage = OutageLog("events")
    outage.block_refused(ClickHouseError("Code: 1001. DB::Exception: std::bad_thing", 1001), first=True)
    for _ in range(3):
        outage.answered()

    assert [record.levelname for record in lines.records] == ["WARNING"]


def test_reason_of_a_failed_attempt_is_that_of_the_system() -> None:
    wrapped = UnavailableError("Error HTTPConnectionPool(…): Max retries exceeded")
    wrapped.__cause__ = ConnectionRefusedError(111, "Connection refused")

    assert reason(wrapped) == "[Errno 111] Connection refused"
    wrapped.__cause__ = TimeoutError("timed out")
    assert reason(wrapped) == "timed out"
    assert reason(UnavailableError("Code: 252. Too many parts")) == "Code: 252. Too many parts"
