"""The matrix: for each library what it sent, what arrived in ClickHouse, and what was rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.topics import Topics
from tests.faults.stack import Stack
from tests.sdk.libraries import Library
from tests.sdk.proxy import items
from tests.sdk.runs import LibraryRun
from tests.support import logs

HEADER = ("Library", "Version", "Sent", "Rows", "Persons", "Rejected", "Retries", "Lost")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the items of one library."""

    run: LibraryRun
    rows: tuple[Mapping[str, Any], ...]
    """Rows of `events` and `identifies` with its messageIds, without FINAL."""
    persons: Mapping[str, Any]
    """Traits of the persons whom it identified, by user."""
    rejected: Mapping[str, str]
    """Codes of its items on `rejected.v1`, by messageId."""

    @property
    def codes(self) -> Counter[str]:
        """Number of rejected items, by code."""
        return Counter(self.rejected.values())

    @property
    def lost(self) -> int:
        """Items that are neither a row nor rejected."""
        return self.run.library.expected.sent - len({row["message_id"] for row in self.rows}) - len(self.rejected)

    @property
    def cells(self) -> tuple[str, ...]:
        """Its row of the printed matrix."""
        library: Library = self.run.library
        numbers = map(str, (library.expected.sent, len(self.rows), len(self.persons)))
        retries, lost = str(self.run.proxy.retries), str(self.lost)
        return (library.name, library.version, *numbers, codes_of(self.codes), retries, lost)


def outcomes(stack: Stack, runs: Iterable[LibraryRun]) -> list[Outcome]:
    """Return what became of the items of *runs*, once *stack* has processed all of it."""
    records = logs.read(stack.kafka, Topics(stack.kafka.topic_prefix).rejected)
    codes = {entry["messageId"]: entry["code"] for entry in (orjson.loads(record.value) for record in records)}
    return [_outcome(stack, run, {name: codes[name] for name in run.ids & codes.keys()}) for run in runs]


def _outcome(stack: Stack, run: LibraryRun, rejected: Mapping[str, str]) -> Outcome:
    ids = _texts(run.ids)
    rows = stack.query(
        f"SELECT message_id, user_id, event, properties FROM events WHERE message_id IN ({ids})"  # noqa: S608
        " UNION ALL "
        f"SELECT message_id, user_id, '', '{{}}'::JSON FROM identifies WHERE message_id IN ({ids})"
    )
    sent = [item for body in run.proxy.bodies for item in items(body)]
    users = _texts({str(item["userId"]) for item in sent if item["type"] == "identify" and item.get("userId")})
    persons = stack.query(f"SELECT user_id, traits FROM persons WHERE user_id IN ({users})")  # noqa: S608
    return Outcome(run, tuple(rows), {str(row["user_id"]): row["traits"] for row in persons}, rejected)


def _texts(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in values) or "''"


def codes_of(rejected: Mapping[str, int]) -> str:
    """Return the number of rejected items by code as the matrix shows it."""
    return ", ".join(f"{count} `{code}`" for code, count in sorted(rejected.items()))


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """Return *rows* as a table with the header of the matrix."""
    lines = [HEADER, tuple("---" for _ in HEADER), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
