"""Answers to questions of docs/cookbook.md, computed in Python from the items of the sample."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.support.demo_sample import Event, Sample

DAY, WEEK, HOUR = timedelta(days=1), timedelta(days=7), timedelta(hours=1)
JUNE, JULY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
Row = list[Any]


def _month(time: datetime) -> str:
    return f"{time:%Y-%m}-01"


def _week(time: datetime) -> date:
    return time.date() - timedelta(days=time.weekday())


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole


def _sum(orders: Iterable[Event]) -> float:
    return sum(order.total or 0 for order in orders)


def _quantile(values: list[float], level: float) -> float:
    return sorted(values)[min(len(values) - 1, int(level * len(values)))]


def users_by_month(sample: Sample) -> list[Row]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for event in sample.events:
        users[_month(event.time)].add(event.user)
    counts = [(month, len(users[month])) for month in sorted(users)]
    after = [[month, now, now - before, 100 * (now / before - 1)] for (_, before), (month, now) in pairwise(counts)]
    return [[*counts[0], None, None], *after]


def stickiness(sample: Sample) -> list[Row]:
    june = [event for event in sample.events if JUNE <= event.time < JULY]
    daily = len({(event.user, event.time.date()) for event in june}) / 30
    monthly = len({event.user for event in june})
    return [[daily, monthly, _percent(daily, monthly)]]


def new_and_returning(sample: Sample) -> list[Row]:
    weeks: defaultdict[date, set[str]] = defaultdict(set)
    for event in sample.events:
        weeks[_week(event.time)].add(event.user)
    known: set[str] = set()
    rows: list[Row] = []
    for week in sorted(weeks):
        if week >= JUNE.date():
            rows.append([str(week), len(weeks[week] - known), len(weeks[week] & known)])
        known |= weeks[week]
    return rows


def sessions(sample: Sample) -> list[Row]:
    months: defaultdict[str, list[list[datetime]]] = defaultdict(list)
    for events in sample.by_user.values():
        session: list[datetime] = []
        for event in events:
            if not session or event.time - session[-1] > timedelta(minutes=30):
                session = []
                months[_month(event.time)].append(session)
            session.append(event.time)
    return [[month, len(of), sum(map(len, of)) / len(of), _median_minutes(of)] for month, of in sorted(months.items())]


def _median_minutes(of_month: list[list[datetime]]) -> float:
    # Whole seconds on the clock, as dateDiff counts them.
    lengths = [int(session[-1].timestamp()) - int(session[0].timestamp()) for session in of_month]
    return _quantile([*map(float, lengths)], 0.5) / 60


def _steps(events: list[Event]) -> int:
    """Return the furthest step of the funnel, by trying every view of a product."""
    names = ("product_viewed", "product_added", "order_completed")
    times = [
        [e.time.replace(microsecond=0) for e in events if e.name == name and JUNE <= e.time < JULY] for name in names
    ]
    furthest = 0
    for begin in times[0]:
        reached, at = 1, begin
        for following in times[1:]:
            next_times = [time for time in following if at <= time <= begin + DAY]
            if not next_times:
                break
            reached, at = reached + 1, min(next_times)
        furthest = max(furthest, reached)
    return furthest


def funnel(sample: Sample) -> list[Row]:
    steps = [_steps(events) for events in sample.by_user.values()]
    viewed, added, ordered = (sum(each >= step for each in steps) for step in (1, 2, 3))
    return [[viewed, added, ordered, _percent(ordered, viewed)]]


def funnel_by_country(sample: Sample) -> list[Row]:
    reached: Counter[tuple[str | None, int]] = Counter()
    for user, events in sample.by_user.items():
        if any(JUNE <= event.time < JULY for event in events):
            country = sample.trait(user, "country", JULY)
            reached.update((country, step) for step in range(1, _steps(events) + 1))
    countries = sorted({country for country, _ in reached}, key=lambda each: (-reached[each, 1], each or "~"))
    return [
        [each, reached[each, 1], reached[each, 3], _percent(reached[each, 3], reached[each, 1])] for each in countries
    ]


def ordered_within_a_week(sample: Sample) -> list[Row]:
    ordered_at = sample.first("order_completed")
    weeks: defaultdict[date, list[bool]] = defaultdict(list)
    for user, at in sample.first("signed_up").items():
        weeks[_week(at)].append(user in ordered_at and at <= ordered_at[user] <= at + WEEK)
    rows = [(week, of) for week, of in sorted(weeks.items()) if week >= JUNE.date()]
    return [[str(week), len(of), sum(of), _percent(sum(of), len(of))] for week, of in rows]


def time_to_order(sample: Sample) -> list[Row]:
    ordered_at, signed_up_at = sample.first("order_completed"), sample.first("signed_up")
    both = ordered_at.keys() & signed_up_at.keys()
    hours = [(int(ordered_at[user].timestamp()) - int(signed_up_at[user].timestamp())) / 3600 for user in both]
    return [[len(hours), _quantile(hours, 0.5), _quantile(hours, 0.9)]]


def abandoned(sample: Sample) -> list[Row]:
    orders = sample.times("order_completed")
    months: defaultdict[str, list[bool]] = defaultdict(list)
    for checkout in sample.named("checkout_started"):
        times = orders[checkout.user]
        at = bisect_left(times, checkout.time)
        months[_month(checkout.time)].append(at == len(times) or times[at] - checkout.time > HOUR)
    return [[month, len(of), sum(of), _percent(sum(of), len(of))] for month, of in sorted(months.items())]


def cohorts(sample: Sample) -> list[Row]:
    rows: defaultdict[date, list[set[str]]] = defaultdict(lambda: [set() for _ in range(5)])
    for user, at in sample.first("signed_up").items():
        rows[_week(at)][0].add(user)
        for event in sample.by_user[user]:
            weeks = (_week(event.time) - _week(at)).days // 7
            if 1 <= weeks <= 4:
                rows[_week(at)][weeks].add(user)
    return [[str(week), *map(len, rows[week])] for week in sorted(rows) if week >= date(2026, 5, 25)]


def after_30_days(sample: Sample) -> list[Row]:
    chosen = {user: at for user, at in sample.first("signed_up").items() if at < datetime(2026, 5, 25, tzinfo=UTC)}
    back = sum(
        any(30 * DAY <= event.time - at < 37 * DAY for event in sample.by_user[user]) for user, at in chosen.items()
    )
    return [[len(chosen), back, _percent(back, len(chosen))]]


def churn(sample: Sample) -> list[Row]:
    may, june = ({e.user for e in sample.events if _month(e.time) == f"2026-0{number}-01"} for number in (5, 6))
    return [[len(may), len(may - june), len(june - may), _percent(len(may - june), len(may))]]


def revenue_by_month(sample: Sample) -> list[Row]:
    months: defaultdict[str, list[Event]] = defaultdict(list)
    for order in sample.named("order_completed"):
        months[_month(order.time)].append(order)
    sums = [(month, _sum(months[month])) for month in sorted(months)]
    after = [[month, now, 100 * (now / before - 1)] for (_, before), (month, now) in pairwise(sums)]
    return [[*sums[0], None], *after]


def _by(orders: Iterable[Event], key: Callable[[Event], Any]) -> list[Row]:
    groups: defaultdict[Any, list[Event]] = defaultdict(list)
    for order in orders:
        groups[key(order)].append(order)
    rows: list[Row] = [[group, len(of), _sum(of)] for group, of in groups.items()]
    return sorted(rows, key=lambda row: -row[2])


def revenue_by_plan_now(sample: Sample) -> list[Row]:
    return _by(
        sample.named("order_completed"),
        lambda order: sample.trait(order.user, "plan", datetime.max.replace(tzinfo=UTC)),
    )


def revenue_by_plan_then(sample: Sample) -> list[Row]:
    return _by(sample.named("order_completed"), lambda order: sample.trait(order.user, "plan", order.time))


def totals_by_country(sample: Sample) -> list[Row]:
    totals: defaultdict[str, list[float | None]] = defaultdict(list)
    for order in sample.named("order_completed"):
        totals[order.properties["shipping"]["country"]].append(order.total)
    rows: list[Row] = []
    for country, of in totals.items():
        known = [total for total in of if total is not None]
        rows.append([country, len(of), sum(known) / len(known), _quantile(known, 0.5), _quantile(known, 0.95)])
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def refunded(sample: Sample) -> list[Row]:
    numbers = {event.number for event in sample.named("order_refunded")}
    months: defaultdict[str, list[bool]] = defaultdict(list)
    for order in sample.named("order_completed"):
        months[_month(order.time)].append(order.number in numbers)
    return [[month, len(of), sum(of), _percent(sum(of), len(of))] for month, of in sorted(months.items())]


def _sources(sample: Sample) -> defaultdict[str, list[tuple[datetime, str]]]:
    found: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for visit in sample.named("visit_started"):
        if source := visit.properties.get("utm.source"):
            found[visit.user].append((visit.time, source))
    return found


def first_source(sample: Sample) -> list[Row]:
    sources, orders = _sources(sample), sample.named("order_completed")

    def of(order: Event) -> str:
        return next((source for _, source in sources[order.user]), "direct")

    users: defaultdict[str, set[str]] = defaultdict(set)
    for order in orders:
        users[of(order)].add(order.user)
    return [[source, len(users[source]), revenue] for source, _, revenue in _by(orders, of)]


def last_source(sample: Sample) -> list[Row]:
    sources = _sources(sample)

    def of(order: Event) -> str:
        at = bisect_right(sources[order.user], (order.time, "~"))
        return sources[order.user][at - 1][1] if at else "direct"

    return _by(sample.named("order_completed"), of)


def after_a_view(sample: Sample) -> list[Row]:
    found: Counter[str | None] = Counter()
    for events in sample.by_user.values():
        for event, following in pairwise([*events, None]):
            if event is not None and event.name == "product_viewed":
                is_soon = following is not None and following.time - event.time <= timedelta(minutes=30)
                found[following.name if following is not None and is_soon else None] += 1
    return [list(pair) for pair in found.most_common()]


def plans_by_month(sample: Sample) -> list[Row]:
    rows: list[Row] = []
    for month in (5, 6, 7):
        at = datetime(2026, month, 1, tzinfo=UTC)
        plans = Counter(sample.trait(user, "plan", at) for user in sample.writes)
        rows.append([f"2026-0{month}-01", plans["free"], plans["pro"], plans["team"]])
    return rows


ANSWERS: Mapping[str, Callable[[Sample], list[Row]]] = {
    "Do more users come than in the month before?": users_by_month,
    "Which share of a month's users comes on an average day?": stickiness,
    "How many users are new each week, and how many come back?": new_and_returning,
    "How many sessions are there, and how long are they?": sessions,
    "How many users who view a product order within a day?": funnel,
    "How does the funnel differ by country?": funnel_by_country,
    "How many users order within a week of their sign-up?": ordered_within_a_week,
    "How long does it take from sign-up to the first order?": time_to_order,
    "How many checkouts are abandoned?": abandoned,
    "Do users come back in the weeks after their sign-up?": cohorts,
    "How many users are still there after 30 days?": after_30_days,
    "How many users of last month did not come this month?": churn,
    "How does revenue grow from month to month?": revenue_by_month,
    "Which plan do the users have now who made the revenue?": revenue_by_plan_now,
    "Which plan did the users have when they made the revenue?": revenue_by_plan_then,
    "How high are orders, by country?": totals_by_country,
    "How many orders are refunded?": refunded,
    "Which source brought the customers first?": first_source,
    "Which source came last before each order?": last_source,
    "What do users do right after they view a product?": after_a_view,
    "How many users had each plan at the end of each month?": plans_by_month,
}
"""The computation of each question whose query is easily wrong."""
