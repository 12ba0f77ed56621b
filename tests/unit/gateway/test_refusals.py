"""What a gateway refuses is logged with its numbers, and at WARNING where an operator should look."""

from __future__ import annotations

import asyncio

import pytest

from gateway.metrics import GatewayMetrics
from gateway.refusals import RefusalLog
from tests.support.services import eventually


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


@pytest.fixture
def refusals(metrics: GatewayMetrics, caplog: pytest.LogCaptureFixture) -> RefusalLog:
    caplog.set_level("INFO")
    return RefusalLog(metrics, "sequence.rejected.v1")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and text of each line since the last call; the seconds are 0 in a test."""
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def test_gateway_that_refuses_nothing_logs_nothing(
    metrics: GatewayMetrics, refusals: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.accepted_items.inc(5000)
    metrics.requests_ok.inc(50)
    metrics.requests.labels("304").inc()
    refusals.write()

    assert lines(caplog) == []


def test_a_few_rejected_items_are_one_line_at_info(
    metrics: GatewayMetrics, refusals: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.accepted_items.inc(263)
    metrics.rejected_items.labels("invalid_user_id").inc(120)
    metrics.rejected_items.labels("item_too_large").inc(17)
    refusals.write()
    refusals.write()

    text = "rejected 137 of 400 items in 0 s: invalid_user_id 120, item_too_large 17. They are on sequence.rejected.v1"
    assert lines(caplog) == [("INFO", text)]


def test_half_of_the_items_rejected_is_a_warning(
    metrics: GatewayMetrics, refusals: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.accepted_items.inc(9)
    metrics.rejected_items.labels("invalid_user_id").inc(9)
    refusals.write()
    assert [level for level, _ in lines(caplog)] == ["INFO"]

    metrics.accepted_items.inc(10)
    metrics.rejected_items.labels("invalid_user_id").inc(10)
    refusals.write()
    assert [level for level, _ in lines(caplog)] == ["WARNING"]


@pytest.mark.parametrize(("status", "level"), [("401", "INFO"), ("429", "INFO"), ("503", "WARNING")])
def test_refused_requests_are_one_line_by_status(
    metrics: GatewayMetrics, refusals: RefusalLog, caplog: pytest.LogCaptureFixture, status: str, level: str
) -> None:
    metrics.requests_ok.inc(98)
    metrics.requests.labels(status).inc(2)
    refusals.write()

    assert lines(caplog) == [(level, f"refused 2 of 100 requests in 0 s, by status: {status} 2")]


async def test_requests_refused_during_a_shutdown_are_no_warning(
    metrics: GatewayMetrics, refusals: RefusalLog, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.start()
    metrics.requests.labels("503").inc(20)
    await refusals.close()

    assert lines(caplog) == [("INFO", "refused 20 of 20 requests in 0 s, by status: 503 20")]


async def test_refusals_are_logged_while_the_gateway_runs(
    metrics: GatewayMetrics,
    refusals: RefusalLog,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.refusals.INTERVAL_SECONDS", 0.01)
    metrics.requests.labels("413").inc(3)
    refusals.start()
    await asyncio.to_thread(eventually, lambda: bool(caplog.records), "a line", within_seconds=10)
    await refusals.close()

    assert [text for _, text in lines(caplog)] == ["refused 3 of 3 requests in 0 s, by status: 413 3"]
