"""Counts the new rows of one table into the catalogue, pass by pass, each row once.

A pass has a number, one more than that of the last pass. It is stored only while that one is the last, and the engine
stores one pass of a number, whoever sends it. So two workers, a repetition or a late statement cannot count rows twice.
After an error the state is read again, once no pass is running: it alone tells what is counted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from processors.clickhouse.codes import FaultKind
from processors.clickhouse.errors import ClickHouseError, LeaseEndedError, TooLateError
from processors.sink.catalog_ranges import Budget, offsets, pending
from processors.sink.catalog_statement import LIMIT, NEAR, Crowds, Pass, Range, Source
from processors.sink.catalog_store import CatalogStore, CrowdedError, MovedError, State, Work
from processors.sink.lease import Lease

GROWTH = LIMIT - NEAR
"""How many paths an event that is not near its limit can get before it exceeds it. A pass adds at most `NEAR`."""
TRIES_ALONE = 5
"""How often the pass over a single row fails, while one over no rows works, before the row is left out."""
_MAY_PASS_IN_PARTS = (FaultKind.SIZE, FaultKind.ROW, FaultKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Lag:
    """What is not counted yet."""

    state: State
    ranges: tuple[Range, ...]

    @property
    def offsets(self) -> int:
        """Number of source offsets; some have no row in the table."""
        return offsets(self.ranges)


@dataclass(frozen=True, slots=True)
class Done:
    """What a pass did."""

    work: Work
    offsets: int
    """Number of source offsets that the positions have moved by."""
    skipped: int = 0
    """Number of them whose rows cannot be counted."""


class Counter:
    """Counts one table. `look` tells what is to be done, and `count` does it or raises `ClickHouseError`."""

    def __init__(self, source: Source, store: CatalogStore, lease: Lease) -> None:
        self.source = source
        self._store = store
        self._lease = lease
        self._budget = Budget()
        self._crowds: Crowds | None = None
        """What is near its limit; None if that is not known."""
        self._growth = 0
        """How many paths an event can have got since then."""
        self._generation = -1
        self._is_unsure = True
        """Whether a pass may be running: another worker's, or one whose answer was lost."""
        self._suffix = ""
        """Makes the token of a pass another one."""
        self._failed_alone = 0

    def forget(self) -> None:
        """Know nothing, because another worker may have counted."""
        self._crowds, self._is_unsure = None, True

    def look(self) -> Lag:
        """Return what is not counted yet."""
        if self._is_unsure:
            self._store.wait_for_running(self.source)
            self._is_unsure = False
        state = self._store.state(self.source)
        if state.generation != self._generation:
            self._generation, self._crowds = state.generation, None
        return Lag(state, tuple(pending(state.positions, self._store.ends(self.source))))

    def is_mixing(self, lag: Lag) -> bool:
        """Return whether a pass over *lag* costs less now than after a merge that is running."""
        return bool(lag.ranges) and self._store.is_mixing(self.source, lag.ranges)

    def count(self, lag: Lag) -> Done | None:
        """Count the rows of *lag*, or part of them. Returns None if another worker has counted or the limit is met."""
        ranges = self._budget.choose(lag.ranges)
        state = lag.state
        counted = Pass(self.source, state.generation, state.number + 1, ranges, self._known_crowds(state))
        try:
            return self._counted(counted, lag)
        except MovedError:
            self.forget()
            return None
        except CrowdedError:
            self._crowds = counted.crowds | self._store.new_crowds(counted)
            return None
        except ClickHouseError as error:
            self._is_unsure = True
            return self._after_failure(error, counted)

    def _counted(self, counted: Pass, lag: Lag) -> Done | None:
        work = self._store.count(counted, self._lease.deadline(), self._suffix)
        state = self._store.state(self.source)
        if not self._is_stored(counted, state):
            return None
        self._grow(work, state)
        moved = offsets(counted.ranges)
        self._budget.double(moved, lag.offsets)
        return Done(work, moved)

    def _after_failure(self, error: ClickHouseError, counted: Pass) -> Done | None:
        """Decide how to continue after *error*: with fewer rows, without a row that cannot be counted, or later."""
        if isinstance(error, LeaseEndedError | TooLateError) or error.fault.kind not in _MAY_PASS_IN_PARTS:
            raise error
        self._store.wait_for_running(self.source)
        if self._store.state(self.source).number >= counted.number:
            # The answer was lost and the pass is stored.
            return None
        self._store.try_statement(counted)
        is_alone = not self._budget.halve(offsets(counted.ranges))
        self._failed_alone = self._failed_alone + 1 if is_alone else 0
        if self._failed_alone < TRIES_ALONE:
            raise error
        return self._skipped(counted)

    def _skipped(self, counted: Pass) -> Done | None:
        work = self._store.skip(counted, self._lease.deadline(), self._suffix)
        if not self._is_stored(counted, self._store.state(self.source)):
            return None
        self._failed_alone = 0
        return Done(work, offsets(counted.ranges), skipped=offsets(counted.ranges))

    def _is_stored(self, counted: Pass, state: State) -> bool:
        """Return whether *counted* is stored. If it was dropped for its token, the next one gets another token.

        That happens if the catalogue was restored: the engine remembers passes that the table has lost.
        """
        if (state.generation, state.number) == (counted.generation, counted.number):
            self._suffix = ""
            return True
        if (state.generation, state.number) == (counted.generation, counted.number - 1):
            self._suffix = f":{secrets.token_hex(4)}"
        return False

    def _known_crowds(self, state: State) -> Crowds:
        if self._crowds is None or self._growth + NEAR > GROWTH:
            self._crowds, self._growth = self._store.stored_crowds(self.source, state.generation), 0
        return self._crowds

    def _grow(self, work: Work, state: State) -> None:
        """Note by how many paths an event can have grown: at most by the rows that the pass wrote."""
        few = work.written_rows <= GROWTH // 20
        known = self._crowds or Crowds()
        self._growth += work.written_rows if few else self._store.largest_growth(self.source, state, known)
