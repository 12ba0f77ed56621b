"""`/api/rates`: items a second by verdict, counted from rows, and the lag of each stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from deploy.console.errors import BusyError, ParameterError
from deploy.console.sampler import Sampler, lag_at
from deploy.console.tables import LimitedClickHouse, LimitError, Tables

MOST_SECONDS = 24 * 3600
_POINTS = 720
_STEPS = (10, 30, 60, 120)
_CACHED_SECONDS = 10.0
_SHARE = 20.0
"""Counting takes at most this fraction of the time of a thread: an answer is kept for so many times what it took."""
_MOST_ANSWERS = 200
_COUNTED = {"accepted": ("events", "identifies"), "duplicate": ("duplicates",), "rejected": ("rejected",)}


class Rates(msgspec.Struct, frozen=True, rename="camel"):
    """Items a second in steps of equal length."""

    step_seconds: int
    times: list[int]
    """The start of each step, in seconds since 1970."""
    accepted: list[float | None]
    duplicate: list[float | None]
    rejected: list[float | None]
    """None if ClickHouse does not answer."""
    lag: dict[str, list[float | None]]
    """By stage, in seconds; None where it is not known."""
    message: str | None = None
    """Why the items are not counted."""


@dataclass(slots=True)
class _Counts:
    """Items by verdict and step."""

    times: Sequence[int]
    of: dict[str, list[float | None]]
    expires_at: float = 0.0
    message: str | None = None


@dataclass(slots=True)
class RateCache:
    """Counts once for all pages that ask about the same project and time."""

    tables: Tables
    sampler: Sampler
    _counts: dict[tuple[str | None, int], _Counts] = field(default_factory=dict)
    _locks: dict[tuple[str | None, int], asyncio.Lock] = field(default_factory=dict)

    async def rates(self, project_id: str | None, seconds: int) -> Rates:
        """Return the rates of the last *seconds*; raises `ParameterError` and `BusyError`."""
        if not 10 <= seconds <= MOST_SECONDS:
            raise ParameterError("since: must be between 10 seconds and 24 hours ago.")
        key = (project_id, seconds)
        try:
            async with self._locks.setdefault(key, asyncio.Lock()):
                counts = self._counts.get(key)
                if counts is None or time.monotonic() >= counts.expires_at:
                    counts = await self._count(project_id, seconds)
                    if counts.message is None:
                        self._counts[key] = counts
        finally:
            self._forget(key)
        step = _step(seconds)
        lag = lag_at(self.sampler.samples, counts.times, step)
        of = counts.of
        return Rates(
            step, list(counts.times), of["accepted"], of["duplicate"], of["rejected"], lag, message=counts.message
        )

    async def _count(self, project_id: str | None, seconds: int) -> _Counts:
        step, now = _step(seconds), int(time.time())
        # The step in which we are is not complete.
        end = now // step * step
        times = range(end - seconds // step * step, end, step)
        began = time.monotonic()
        try:
            rows = await self.tables.run(lambda clickhouse: _rows(clickhouse, project_id, times))
        except LimitError:
            raise BusyError(
                "busy", "Counting took too long. Ask about a shorter time with since, or about one project."
            ) from None
        except BusyError as error:
            if error.code != "clickhouse_unavailable":
                raise
            # The lag is known without ClickHouse.
            return _Counts(times, {verdict: [None] * len(times) for verdict in _COUNTED}, message=str(error))
        took = time.monotonic() - began
        found: dict[str, list[float | None]] = {verdict: [0.0] * len(times) for verdict in _COUNTED}
        for row in rows:
            found[row["verdict"]][(int(row["at"]) - times.start) // step] = round(int(row["items"]) / step, 2)
        return _Counts(times, found, time.monotonic() + max(_CACHED_SECONDS, _SHARE * took))

    def _forget(self, asked: tuple[str | None, int]) -> None:
        """Drop the lock of a question without an answer, and the oldest answers beyond the most that are kept."""
        if asked not in self._counts:
            self._locks.pop(asked, None)
        while len(self._counts) > _MOST_ANSWERS:
            key = next(iter(self._counts))
            del self._counts[key]
            self._locks.pop(key, None)


def _step(seconds: int) -> int:
    return next((step for step in _STEPS if seconds / step <= _POINTS), _STEPS[-1])


def _rows(clickhouse: LimitedClickHouse, project_id: str | None, times: range) -> list[dict[str, Any]]:
    """Return the number of items of each verdict and step that has some."""
    project = "" if project_id is None else " AND project_id = {project:String}"
    counted = [
        f"SELECT '{verdict}' AS verdict, received_at FROM {table} WHERE received_at >= toDateTime64({{start:Int64}}, 6,"  # noqa: S608  # our own names
        f" 'UTC') AND received_at < toDateTime64({{end:Int64}}, 6, 'UTC'){project}"
        for verdict, names in _COUNTED.items()
        for table in names
    ]
    sql = (
        "SELECT verdict, intDiv(toUnixTimestamp(received_at), {step:UInt32}) * {step:UInt32} AS at, count() AS items"  # noqa: S608  # as above
        f" FROM ({' UNION ALL '.join(counted)}) GROUP BY verdict, at ORDER BY at LIMIT 10000"
    )
    parameters = {"start": times.start, "end": times.stop, "step": times.step, "project": project_id or ""}
    return clickhouse.query(sql, parameters)
