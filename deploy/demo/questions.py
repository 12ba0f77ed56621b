"""What `sequence demo` suggests to ask first. Statements name the database of the project's views `DATABASE`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

QUESTIONS: Mapping[str, str] = MappingProxyType(
    {
        "Which events are there?": (
            "SELECT event, arraySort(groupUniqArray(event_text)) AS event_text, count() AS events,"
            " uniq(user_id) AS users FROM DATABASE.tracks GROUP BY event ORDER BY events DESC"
        ),
        "How many orders are there each week, and what is the revenue?": (
            "SELECT toStartOfWeek(timestamp, 1) AS week, count() AS orders, round(sum(total), 2) AS revenue,"
            " countIf(total IS NULL) AS orders_without_a_number"
            " FROM DATABASE.order_completed GROUP BY week ORDER BY week"
        ),
        "Which plan did the users have when they ordered?": (
            "SELECT person_plan AS plan, count() AS orders FROM DATABASE.order_completed AS orders"
            " JOIN DATABASE.events_with_person AS persons ON persons.id = orders.id GROUP BY plan ORDER BY orders DESC"
        ),
    }
)
