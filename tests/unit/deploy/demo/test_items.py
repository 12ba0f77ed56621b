"""The sample of `sequence demo`: the same for the same arguments, of the right size, with the faults of real data."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from deploy.demo.items import DAYS, last_day, sample
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items

UNTIL = date(2026, 6, 30)
MADE = sample(4_000, UNTIL)
ITEMS: list[dict[str, Any]] = [json.loads(raw) for _, raw in MADE.items]
TRACKS = [item for item in ITEMS if item["type"] == "track"]
ORDERS = [item for item in TRACKS if item["event"] in {"Order Completed", "orderCompleted"}]


def ids(items: list[dict[str, Any]]) -> set[str]:
    return {item["messageId"] for item in items}


def test_sample_is_the_same_each_time() -> None:
    assert sample(4_000, UNTIL) == MADE


@pytest.mark.parametrize("events", [1, 30, 4_000])
def test_sample_has_as_many_different_items_as_asked_for(events: int) -> None:
    made = sample(events, UNTIL)

    assert len({json.loads(raw)["messageId"] for _, raw in made.items}) == made.different == events


def test_larger_sample_has_the_items_of_a_smaller_one() -> None:
    assert {raw for _, raw in sample(1_000, UNTIL).items} <= {raw for _, raw in MADE.items}


def test_samples_of_different_days_have_no_item_in_common() -> None:
    other = [json.loads(raw) for _, raw in sample(4_000, UNTIL + timedelta(days=1)).items]

    assert not ids(ITEMS) & ids(other)


def test_times_are_within_the_days_of_the_sample() -> None:
    times = [datetime.fromisoformat(item["timestamp"]) for item in ITEMS]
    end = datetime(2026, 7, 1, tzinfo=UTC)

    assert all(end - timedelta(days=DAYS) <= time < end for time in times)
    assert len({time.date() for time in times}) > DAYS * 0.9
    hours = [sum(time.hour == hour for time in times) for hour in (3, 19)]
    assert hours[0] * 4 < hours[1]


def test_message_id_tells_the_last_day() -> None:
    assert {last_day(item["messageId"]) for item in ITEMS} == {UNTIL}


def test_gateway_accepts_every_item() -> None:
    envelope = parse_envelope(b'{"batch":[%s]}' % b",".join(raw for _, raw in MADE.items[:2_000]))
    result = validate_items(
        envelope, project_id="demo", received_at=int(datetime(2026, 7, 10, tzinfo=UTC).timestamp() * 1e6)
    )

    assert result.rejected == []
    assert {warning.code for item in result.accepted for warning in item.warnings} == {"number_as_id"}


def test_items_arrive_late_and_twice() -> None:
    assert len(ITEMS) == 4_080
    assert len(ids(ITEMS)) == 4_000
    arrivals = [arrives for arrives, _ in MADE.items]
    assert arrivals == sorted(arrivals)
    delays = [
        arrives - datetime.fromisoformat(item["timestamp"])
        for arrives, item in zip(arrivals, ITEMS, strict=True)
        if item["type"] == "track"
    ]
    assert sum(delay > timedelta(hours=1) for delay in delays) > 40


def test_identifies_of_a_user_arrive_out_of_order() -> None:
    times: dict[str, list[str]] = {}
    for item in ITEMS:
        if item["type"] == "identify":
            times.setdefault(str(item["userId"]), []).append(item["timestamp"])

    assert any(of_user != sorted(of_user) for of_user in times.values())


def test_user_signs_up_in_the_first_visit_and_has_a_plan_before_it_changes() -> None:
    events: dict[str, list[str]] = {}
    for item in sorted({item["messageId"]: item for item in TRACKS}.values(), key=lambda item: item["timestamp"]):
        events.setdefault(str(item["userId"]), []).append(item["event"])

    assert all(of_user[1] == "Signed Up" for of_user in events.values() if "Signed Up" in of_user)
    assert all(plans[0] in {"free", "pro", "team"} for plans in plans_by_time().values())


def plans_by_time() -> dict[str, list[str | None]]:
    """Return the plans of each user, which begin with the profile and change one step at a time."""
    plans: dict[str, list[str | None]] = {}
    identifies = {item["messageId"]: item for item in ITEMS if item["type"] == "identify"}.values()
    for item in sorted(identifies, key=lambda item: item["timestamp"]):
        assert ("age" in item["traits"]) == (str(item["userId"]) not in plans)
        plans.setdefault(str(item["userId"]), []).append(item["traits"]["plan"])
    return plans


def test_versions_send_in_their_own_way() -> None:
    totals = [order["properties"]["total"] for order in ORDERS]

    assert {type(total) for total in totals} == {float, str}
    assert {order["event"] for order in ORDERS} == {"Order Completed", "orderCompleted"}
    assert {type(item["userId"]) for item in ITEMS} == {int, str}
    assert {name for order in ORDERS for name in order["properties"] if "oupon" in name} == {"coupon", "couponCode"}
    assert {type(order["properties"].get("order_id", order["properties"].get("orderId"))) for order in ORDERS} == {
        int,
        str,
    }
    assert any("utm.source" in item["properties"] for item in TRACKS)
    assert all(isinstance(order["properties"]["products"], list) for order in ORDERS)


def test_campaign_is_in_the_properties_and_as_segment_sends_it() -> None:
    campaigns = [item["context"]["campaign"] for item in TRACKS if "utm.source" in item["properties"]]

    assert {item["event"] for item in TRACKS if "campaign" in item["context"]} == {"Visit Started", "Signed Up"}
    assert len(campaigns) == sum("campaign" in item["context"] for item in ITEMS)
    for item in TRACKS:
        if campaign := item["context"].get("campaign"):
            sent = {name: item["properties"][f"utm.{name}"] for name in ("source", "medium")}
            assert campaign == {**sent, "name": campaign["name"]}
    assert all({"library", "app", "locale"} <= item["context"].keys() for item in ITEMS)


def test_numbers_of_orders_are_unique() -> None:
    orders = {order["messageId"]: order["properties"] for order in ORDERS}.values()
    numbers = {str(order.get("order_id", order.get("orderId"))) for order in orders}

    assert len(numbers) == len(orders)


def test_progress_counts_every_item() -> None:
    counts: list[int] = []
    sample(100, UNTIL, counts.append)

    assert sum(counts) == 100
