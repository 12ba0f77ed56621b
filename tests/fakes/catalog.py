"""A catalogue that is kept in memory."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from processors.clickhouse.errors import ClickHouseError, TooLateError, UnavailableError
from processors.sink import catalog_statement as statement
from processors.sink.catalog_statement import Crowds, Pass, Range, Source
from processors.sink.catalog_store import CatalogStore, CrowdedError, MovedError, Partition, State, Work
from tests.support.catalog_model import Entry, Row, expected


class MemoryCatalog:
    """Counts rows in memory as `ClickHouseCatalog` does. Tests set `reachable` and `mixing`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.reachable = True
        self.mixing = False
        """Whether a large merge of new rows is running."""
        self.generation = 0
        self._counts: dict[int, Counter[Entry]] = defaultdict(Counter)
        self._states: dict[int, State] = {}
        self._tokens: set[str] = set()

    def rows_written(self, rows: Iterable[Row]) -> None:
        """Take rows of the table."""
        self.rows += rows

    @property
    def counts(self) -> Mapping[Entry, int]:
        """The catalogue."""
        return self._counts[self.generation]

    def state(self, source: Source) -> State:
        """Return how far *source* is counted."""
        self._check(source)
        return self._states.get(self.generation, State(self.generation))

    def ends(self, source: Source) -> dict[Partition, int]:
        """Return by partition the source offset after that of the newest row."""
        self._check(source)
        ends: dict[Partition, int] = {}
        for row in self.rows:
            key = row.log, row.partition
            ends[key] = max(ends.get(key, 0), row.offset + 1)
        return ends

    def count(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store a pass, or raise."""
        self._check_conditions(counted, deadline)
        rows = list(self._rows_of(counted))
        groups = expected(rows)
        self._check_crowds(counted, groups)
        return self._store(counted, counted.token + suffix, self._limited(counted, groups), len(rows))

    def skip(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store the positions of a pass without its counts, or raise."""
        self._check_conditions(counted, deadline)
        return self._store(counted, counted.token + suffix, Counter(), 0)

    def try_statement(self, counted: Pass) -> None:
        """Raise if the catalogue is not reachable."""
        self._check(counted.source)

    def wait_for_running(self, source: Source) -> None:
        """Return at once: no pass runs in the background."""
        self._check(source)

    def stored_crowds(self, source: Source, generation: int) -> Crowds:
        """Return what is near its limit in the catalogue."""
        self._check(source)
        return _crowds(self._counts[generation])

    def new_crowds(self, counted: Pass) -> Crowds:
        """Return what is near its limit in the rows of a pass alone."""
        return _crowds(expected(self._rows_of(counted)))

    def largest_growth(self, source: Source, state: State, crowds: Crowds) -> int:
        """Return an upper bound of the growth."""
        del source, state, crowds
        return statement.NEAR

    def is_mixing(self, source: Source, ranges: Sequence[Range]) -> bool:
        """Return what `mixing` says."""
        del source, ranges
        return self.mixing

    def forget_last_pass(self) -> None:
        """Lose what the last pass stored, as a restored table has, while its token stays known."""
        self._states[self.generation], self._counts[self.generation] = self._before

    def _rows_of(self, counted: Pass) -> Iterable[Row]:
        for row in self.rows:
            for each in counted.ranges:
                if (row.log, row.partition) == (each.log, each.partition) and each.first <= row.offset < each.end:
                    yield row

    def _store(self, counted: Pass, token: str, groups: Counter[Entry], read: int) -> Work:
        if token in self._tokens:
            return Work(read, len(groups))
        state = self._states.get(counted.generation, State(counted.generation))
        self._before = state, self._counts[counted.generation].copy()
        self._tokens.add(token)
        self._counts[counted.generation].update(groups)
        moved = {(each.log, each.partition): each.end for each in counted.ranges}
        self._states[counted.generation] = State(counted.generation, counted.number, {**state.positions, **moved})
        return Work(read, len(groups))

    def _limited(self, counted: Pass, groups: Counter[Entry]) -> Counter[Entry]:
        """Return *groups* with the paths beyond the limit of their event as one."""
        known = {entry[:3] for entry in self._counts[counted.generation] if entry[3]}
        used = Counter(entry[:2] for entry in known)
        weights: Counter[tuple[str, str, str]] = Counter()
        for (project, event, path, kind), total in groups.items():
            if kind:
                weights[project, event, path] += total
        for each, _ in sorted(weights.items(), key=lambda item: (-item[1], item[0])):
            if each not in known and used[each[:2]] < statement.LIMIT:
                known.add(each)
                used[each[:2]] += 1
        limited: Counter[Entry] = Counter()
        for (project, event, path, kind), total in groups.items():
            is_kept = not kind or (project, event, path) in known
            limited[(project, event, path, kind) if is_kept else (project, event, statement.OTHER, "")] += total
        return limited

    def _check_conditions(self, counted: Pass, deadline: float) -> None:
        self._check(counted.source)
        if time.time() >= deadline:
            raise TooLateError(statement.TOO_LATE)
        state = self.state(counted.source)
        if (state.generation, state.number) != (counted.generation, counted.number - 1):
            raise MovedError(statement.MOVED)

    def _check_crowds(self, counted: Pass, groups: Counter[Entry]) -> None:
        if _crowds(groups).events - counted.crowds.events:
            raise CrowdedError(statement.TOO_MANY)

    def _check(self, source: Source) -> None:
        if not self.reachable:
            raise UnavailableError("not reachable")
        assert source.kind == "event", "the fake counts events alone"


class FaultyCatalog:
    """A catalogue whose passes fail as `fault` says: with the error that it returns, None for none."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store
        self.fault: Callable[[Pass], ClickHouseError | None] = lambda counted: None  # noqa: ARG005
        self.writes_despite_errors = False
        self.counted: list[Pass] = []
        """Each pass that was sent."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def count(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store a pass, or raise what `fault` returns."""
        self.counted.append(counted)
        if (error := self.fault(counted)) is None:
            return self._store.count(counted, deadline, suffix)
        if self.writes_despite_errors:
            self._store.count(counted, deadline, suffix)
        raise error


def _crowds(groups: Mapping[Entry, int]) -> Crowds:
    paths = Counter((project, event) for project, event, _, _ in groups)
    return Crowds(frozenset(each for each, count in paths.items() if count > statement.NEAR))
