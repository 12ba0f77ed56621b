"""Runs the vectors of `schemas/consumer_vectors.json` with a consumer; `docs/consumers.md` explains their format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from schemas.sequence_consumer import ConsumerError, InvalidOriginError, MissedRecordsError, RecreatedTopicError
from tests.support.documents import ROOT

PATH = ROOT / "schemas" / "consumer_vectors.json"
CASES: dict[str, Any] = {case["name"]: case for case in json.loads(PATH.read_text(encoding="utf-8"))["cases"]}
"""By name."""
RUNS = {name: case for name, case in CASES.items() if case["rule"] == "source_offset"}
"""The cases that have runs."""

T = TypeVar("T")
Headers = list[tuple[str, bytes | None]]
REFUSALS: Mapping[str, type[ConsumerError]] = {
    "invalid_origin": InvalidOriginError,
    "missed_records": MissedRecordsError,
    "recreated_topic": RecreatedTopicError,
}


class Consumer(Protocol):
    """What the vectors need of a consumer; `SourceOffsets` has this shape."""

    def resume(self, partition: int, state: str | None, *, log_start: int, log_end: int) -> int:
        """Continue from *state* and return the offset to read from."""

    def is_new(self, partition: int, offset: int, headers: Headers) -> bool:
        """Return whether the record is to be delivered."""

    def state(self, partition: int) -> str:
        """Return the state to store."""


def headers_of(record: Mapping[str, Any]) -> Headers:
    """Return the headers of a *record* of the vectors."""
    names = ("origin", "origin_partition")
    return [("message_id", b"m"), *((name, record[name].encode()) for name in names if name in record)]


def failures(case: Mapping[str, Any], make: Callable[[], Consumer], *, restart: bool = True) -> list[str]:
    """Return what the consumer of *make* does other than *case* says.

    With *restart* each run has a consumer of its own; otherwise one consumer gets all assignments, as with rebalances.
    """
    found: list[str] = []
    consumer = make()
    for number, run in enumerate(case["runs"]):
        consumer = make() if restart else consumer
        found += [f"run {number}: {failure}" for failure in _run(run, consumer)]
    return found


def _run(run: Mapping[str, Any], consumer: Consumer) -> Iterable[str]:
    for name, given in run["assigned"].items():
        state = None if given["state"] is None else json.dumps(given["state"])
        bounds = {end: given[end] for end in ("log_start", "log_end")}
        start = _outcome(partial(consumer.resume, int(name), state, **bounds))
        yield from _differs(f"start of partition {name}", start, given.get("refused", given.get("start")))
    delivered: dict[str, list[int]] = {}
    for record in run["records"]:
        outcome, refused = _read(consumer, record), record.get("refused")
        if refused or isinstance(outcome, str):
            yield from _differs(f"record {record}", outcome, refused)
        elif outcome:
            delivered.setdefault(str(record["partition"]), []).append(int(record["origin"]))
    yield from _differs("delivered", delivered, {name: found for name, found in run["delivered"].items() if found})
    for name, state in run["stored"].items():
        yield from _differs(f"state of partition {name}", json.loads(consumer.state(int(name))), state)
    for record in run.get("lost", ()):
        _read(consumer, record)


def _read(consumer: Consumer, record: Mapping[str, Any]) -> bool | str:
    return _outcome(partial(consumer.is_new, record["partition"], record["offset"], headers_of(record)))


def _outcome(call: Callable[[], T]) -> T | str:
    """Return the result of *call*, or the name of the refusal that it raises."""
    try:
        return call()
    except tuple(REFUSALS.values()) as error:
        return next(name for name, kind in REFUSALS.items() if isinstance(error, kind))


def _differs(what: str, found: object, expected: object) -> Iterable[str]:
    if found != expected:
        yield f"{what}: {found}, expected {expected}"
