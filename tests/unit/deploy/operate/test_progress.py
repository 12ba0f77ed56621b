"""Progress of the sink: percent of the topics as they were at the beginning, rows, and rows a second."""

from __future__ import annotations

from deploy.operate.offsets import Group, Input
from deploy.operate.progress import Progress


def group(committed: int | None, *, events_end: int = 200) -> Group:
    """Return a group that has committed so much of `events.v1`, and all of the other topics."""
    inputs = {
        ("a.events.v1", 0): Input("a.events.v1", 0, 100, events_end, committed),
        ("a.persons.v1", 0): Input("a.persons.v1", 0, 0, 10, 10),
        ("a.duplicates.v1", 0): Input("a.duplicates.v1", 0, 0, 0),
        ("a.rejected.v1", 0): Input("a.rejected.v1", 0, 0, 0),
    }
    return Group("a-sink", 1, inputs)


def test_percent_is_of_what_the_topic_has() -> None:
    lines, complete = Progress(group(None)).update(group(150), {"events": 40, "identifies": 10}, 1.0)

    assert not complete
    assert [" ".join(line.split()) for line in lines] == [
        "events 50 % 40 rows",
        "identifies 50 % 10 rows",
        "person_states 100 % 0 rows",
        "duplicates 100 % 0 rows",
        "rejected 100 % 0 rows",
    ]


def test_records_that_arrive_meanwhile_are_not_waited_for() -> None:
    progress = Progress(group(100))

    assert progress.update(group(199, events_end=300), {}, 1.0)[1] is False
    assert progress.update(group(200, events_end=300), {}, 2.0)[1] is True


def test_almost_complete_topic_is_not_shown_as_complete() -> None:
    lines, _ = Progress(group(100, events_end=10_100)).update(group(10_099, events_end=10_100), {}, 1.0)

    assert " 99 %" in lines[0]


def test_rate_is_that_since_the_last_line_and_equal_lines_are_left_out() -> None:
    progress = Progress(group(100))
    progress.update(group(110), {"events": 1000}, 10.0)

    assert "2500 rows/s" in progress.update(group(150), {"events": 6000}, 12.0)[0][0]
    assert progress.update(group(150), {"events": 6000}, 14.0)[0] != []
    assert progress.update(group(150), {"events": 6000}, 16.0)[0] == []


def test_expired_records_do_not_keep_the_progress_below_the_end() -> None:
    progress = Progress(group(100))
    expired = Group("a-sink", 1, {("a.events.v1", 0): Input("a.events.v1", 0, 250, 300, 250)})

    assert progress.update(expired, {}, 1.0)[1] is True
