"""The retention of projects and events as records: what may be chosen, and what a table of them has."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.errors import InvalidProjectError
from gateway.projects import changes
from schemas.projects import Project, ProjectCreation, encode_entry
from schemas.retention import Retention
from tests.fakes.projects_topic import MemoryProjectsTopic


async def chosen(*choices: tuple[int | str | None, Mapping[str, int | None]]) -> list[Project]:
    """Return the project of each table after commands with days, None for unlimited and "" for no change."""
    topic = MemoryProjectsTopic()
    await topic.append([encode_entry(ProjectCreation("p", "p", 1), "p", "0" * 16)])
    for days, events in choices:
        retention = None if isinstance(days, str) else Retention(days)
        change = changes.update_project(await topic.read(), "p", retention=retention, event_retention=events)
        await topic.append(change.records)
    return [table.projects["p"] for table in topic.tables()]


async def test_retention_and_days_of_events_are_those_of_the_last_command() -> None:
    found = await chosen(
        (90, {"Page Viewed": 30, "a/b": 14}), (400, {}), ("", {"Page Viewed": 60}), ("", {"a/b": None})
    )

    assert {(each.retention_days, each.event_retention) for each in found} == {(400, (("Page Viewed", 60),))}


async def test_unlimited_project_keeps_the_days_of_its_events() -> None:
    found = await chosen((90, {"Page Viewed": 30}), (None, {}))

    assert {(each.retention_days, each.event_retention) for each in found} == {(None, (("Page Viewed", 30),))}


@pytest.mark.parametrize(
    ("days", "events", "reason"),
    [
        (60, {}, "Rows are kept for 30, 90, 400 days or unlimited, not 60 days"),
        (0, {}, "not 0 days"),
        (90, {"a": 13}, "a cannot be kept for 13 days: use at least 14. Until then events.v1 has the items"),
        (90, {"a": 90}, "a cannot be kept for 90 days: project p keeps its rows for 90"),
        (None, {"a": None}, "a is kept as long as other events of project p already"),
    ],
)
async def test_days_that_cannot_be_kept_are_refused_with_the_reason(
    days: int | None, events: dict[str, int | None], reason: str
) -> None:
    with pytest.raises(InvalidProjectError) as error:
        await chosen((days, events))

    assert reason in str(error.value)
