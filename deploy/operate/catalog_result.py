"""What the catalogue says of an event: its paths, their types with shares, and conflicts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

OTHER = "(other)"
FAMILIES = {"integer": "number", "float": "number", "array of objects": "array"}
"""Types that are no conflict with each other: a price of 20 is an integer, and an empty list is an array of nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the view `catalog`."""

    project_id: str
    kind: str
    event: str
    path: str
    type: str
    count: int
    first_seen: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Path:
    """A path with its types, the most frequent first."""

    path: str
    entries: Sequence[Entry]

    @property
    def count(self) -> int:
        """How many rows have the path."""
        return sum(entry.count for entry in self.entries)

    @property
    def is_rest(self) -> bool:
        """Whether it stands for the paths beyond the limit."""
        return all(not entry.type for entry in self.entries)

    @property
    def is_conflict(self) -> bool:
        """Whether its values have several types, nulls aside."""
        types = {entry.type for entry in self.entries} - {"null"}
        return len({FAMILIES.get(each, each) for each in types}) > 1

    def describe(self, total: int) -> dict[str, Any]:
        """Return the path as `--json` prints it; *total* is the number of events."""
        return {
            "path": self.path,
            "isRest": self.is_rest,
            "count": self.count,
            "share": _share(self.count, total),
            "conflict": self.is_conflict,
            "types": [
                {"type": entry.type, "count": entry.count, "share": _share(entry.count, self.count)}
                for entry in self.entries
                if entry.type
            ],
            "firstSeen": min(entry.first_seen for entry in self.entries),
            "lastSeen": max(entry.last_seen for entry in self.entries),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """An event, or the traits of a project, with its paths by name."""

    total: Entry
    paths: Sequence[Path]

    @property
    def conflicts(self) -> Sequence[str]:
        """The paths whose values have several types."""
        return [path.path for path in self.paths if path.is_conflict]

    def describe(self) -> dict[str, Any]:
        """Return the event as `--json` prints it, without its paths."""
        total = self.total
        return {
            "projectId": total.project_id,
            "kind": total.kind,
            "event": total.event if total.kind == "event" else None,
            "count": total.count,
            "paths": sum(not path.is_rest for path in self.paths),
            "conflicts": self.conflicts,
            "firstSeen": total.first_seen,
            "lastSeen": total.last_seen,
        }

    def describe_paths(self) -> list[dict[str, Any]]:
        """Return the paths as `--json` prints them, the most frequent first and the rest last."""
        ordered = sorted(self.paths, key=lambda path: (path.is_rest, -path.count, path.path))
        return [path.describe(self.total.count) for path in ordered]


def entry(row: Mapping[str, Any]) -> Entry:
    """Return a row of the view `catalog`."""
    return Entry(
        row["project_id"], row["kind"], row["event"], row["path"], row["type"], int(row["count"]),
        _time(row["first_seen"]), _time(row["last_seen"]),
    )  # fmt: skip


def events(entries: Iterable[Entry]) -> list[Event]:
    """Return the events of *entries*: by project, the most frequent first; traits follow the events."""
    found = []
    for _, of_event in groupby(sorted(entries, key=_event_key), key=_event_key):
        listed = list(of_event)
        totals = [each for each in listed if not each.type and not each.path]
        if totals:
            found.append(Event(totals[0], list(_paths(each for each in listed if each.type or each.path))))
    return sorted(found, key=lambda event: (event.total.project_id, event.total.kind, -event.total.count))


def _event_key(each: Entry) -> tuple[str, str, str]:
    return each.project_id, each.kind, each.event


def _paths(entries: Iterable[Entry]) -> Iterable[Path]:
    def key(each: Entry) -> tuple[str, bool]:
        # A path may be called `(other)`.
        return each.path, not each.type

    for (path, _), of_path in groupby(sorted(entries, key=key), key=key):
        yield Path(path, sorted(of_path, key=lambda each: (-each.count, each.type)))


def _share(count: int, total: int) -> float:
    return round(count / total, 6) if total else 0.0


def _time(text: str) -> str:
    return text.replace(" ", "T") + "Z"
