"""What the catalogue says of an event: shares, conflicts, order."""

from __future__ import annotations

from deploy.operate.catalog_result import Entry, Event, events

FIRST, LAST = "2026-01-01T00:00:00.000000Z", "2026-01-31T00:00:00.000000Z"


def entries(event: str, kind: str = "event", project: str = "p", **counts: dict[str, int]) -> list[Entry]:
    """Return the rows of an event; `_` is the event itself."""
    return [
        Entry(project, kind, event, "" if path == "_" else path, word, count, FIRST, LAST)
        for path, types in counts.items()
        for word, count in types.items()
    ]


def only(listed: list[Entry]) -> Event:
    [found] = events(listed)
    return found


def test_types_of_a_path_have_shares_of_its_values() -> None:
    [path] = only(entries("Buy", _={"": 200}, price={"text": 3, "float": 97})).describe_paths()

    assert (path["count"], path["share"], path["conflict"]) == (100, 0.5, True)
    assert path["types"] == [
        {"type": "float", "count": 97, "share": 0.97},
        {"type": "text", "count": 3, "share": 0.03},
    ]


def test_several_types_are_a_conflict_but_numbers_arrays_and_nulls_are_not() -> None:
    found = only(
        entries(
            "Buy",
            _={"": 9},
            number={"integer": 1, "float": 1, "null": 1},
            items={"array": 1, "array of objects": 1},
            plan={"text": 1, "null": 8},
            flag={"boolean": 1, "integer": 1},
            when={"text": 1, "integer": 8},
        )
    )

    assert found.conflicts == ["flag", "when"]


def test_most_frequent_paths_are_first_and_the_rest_is_last() -> None:
    listed = entries("Buy", _={"": 9}, rare={"text": 1}, often={"text": 5})
    listed += [Entry("p", "event", "Buy", "(other)", "", 700, FIRST, LAST)]
    listed += [Entry("p", "event", "Buy", "(other)", "text", 2, FIRST, LAST)]
    found = only(listed)

    assert [(path["path"], path["isRest"]) for path in found.describe_paths()] == [
        ("often", False), ("(other)", False), ("rare", False), ("(other)", True)
    ]  # fmt: skip
    assert found.describe()["paths"] == 3


def test_events_are_listed_by_project_and_count_with_traits_last() -> None:
    listed = entries("", "trait", _={"": 99}, plan={"text": 1}) + entries("Few", _={"": 1})
    listed += entries("Many", _={"": 7}) + entries("Other", project="a", _={"": 1})

    described = [event.describe() for event in events(listed)]
    assert [(each["projectId"], each["event"]) for each in described] == [
        ("a", "Other"), ("p", "Many"), ("p", "Few"), ("p", None)
    ]  # fmt: skip
    assert described[3] | {"count": 99, "kind": "trait", "firstSeen": FIRST, "lastSeen": LAST} == described[3]
