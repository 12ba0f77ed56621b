"""How far the sink has filled the tables: rows, percent of the topic, and rows a second. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.operate.offsets import Group
from schemas.clickhouse import TABLES

MIN_SECONDS = 1.0
"""Shortest time over which a rate is shown."""


class Progress:
    """Compares what the sink has committed with the ends that the topics had at the beginning."""

    def __init__(self, group: Group) -> None:
        self._ends = {key: read.log_end for key, read in group.inputs.items()}
        self._before: tuple[float, Mapping[str, int]] | None = None
        self._shown: list[str] = []

    def update(self, group: Group, rows: Mapping[str, int], now: float) -> tuple[list[str], bool]:
        """Return the lines to show, none if nothing has changed, and whether the sink has reached the ends.

        *rows* is the number of rows by table, *now* the time in seconds.
        """
        rates = self._rates(rows, now)
        lines: list[str] = []
        complete = True
        for table in TABLES:
            done, total = self._done(group, table.topic)
            complete = complete and done == total
            percent = 100 if done == total else min(99, 100 * done // total)
            count = rows.get(table.name, 0)
            lines.append(f"{table.name:<14} {percent:>3} %  {count:>12} rows{rates.get(table.name, '')}")
        changed = [] if lines == self._shown else lines
        self._shown = lines
        return changed, complete

    def _done(self, group: Group, name: str) -> tuple[int, int]:
        """Return how many records of topic *name* were committed, of those that it had."""
        done = total = 0
        for key, end in self._ends.items():
            read = group.inputs.get(key)
            if read is None or not read.topic.endswith(f".{name}"):
                continue
            start = min(read.log_start, end)
            total += end - start
            done += min(max(read.committed or 0, start), end) - start
        return done, total

    def _rates(self, rows: Mapping[str, int], now: float) -> dict[str, str]:
        before, self._before = self._before, (now, dict(rows))
        if before is None or now - before[0] < MIN_SECONDS:
            return {}
        seconds = now - before[0]
        return {
            table: f"  {(count - before[1].get(table, 0)) / seconds:>8.0f} rows/s"
            for table, count in rows.items()
            if count > before[1].get(table, 0)
        }
