"""Persons under erasure: one user's identifies, erasures and workers in memory, and the person that a model gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from processors.engine.rocksdb import StoreConfig
from processors.persons import erased, fold, replay
from processors.persons.fold import KeyedIdentify
from schemas.erasure import Erasure
from schemas.items import Identify
from schemas.persons import Person, decode_person, encode_person
from schemas.persons import fold as fold_one
from schemas.records import Erase, identify_headers
from schemas.times import format_time, parse_time
from tests.fakes.store import MemoryPartitionStore
from tests.support.records import SlimRecord

KEY = b"p/u"
CLUSTER = "cluster"


def expected(identifies: Sequence[Identify], erasures: Sequence[Erasure]) -> bytes | None:
    """Return the person of *identifies*, whose index is their source offset, after *erasures* in their order."""
    person: Person | None = None
    seen: list[int] = []
    for offset, identify in enumerate(identifies):
        time = parse_time(identify.timestamp)
        covering = [each for each in erasures if offset < each.items[0] and each.covers_time(time)]
        if any(each.is_complete for each in covering):
            continue
        moved = None
        for each in erasures:
            if each in covering if moved is None else each.covers_time(moved):
                moved = each.since if each.since is not None else each.until or 0
        seen.append(time if moved is None else moved)
        if covering:
            names = msgspec.json.decode(identify.traits)
            nulls = msgspec.Raw(msgspec.json.encode(dict.fromkeys(names)))
            person = fold_one(person, msgspec.structs.replace(identify, traits=nulls))
        else:
            person = fold_one(person, identify)
    if person is None:
        return None
    first, last = format_time(min(seen)), format_time(max(seen))
    newest = max((each.requested_at for each in erasures), default=0)
    return encode_person(msgspec.structs.replace(person, first_seen=first, last_seen=last, erased=newest))


@dataclass
class World:
    """The log `persons.v1`, and the worker that owns its partition."""

    identifies: Sequence[Identify]
    erasures: Sequence[Erasure]
    log: list[bytes | None] = field(default_factory=list)
    known: int = 0
    """Number of erasures that the worker knows."""
    state: MemoryPartitionStore = field(default_factory=lambda: MemoryPartitionStore(StoreConfig()))
    pending: list[list[bytes | None]] = field(default_factory=list)
    """What paused workers will write."""
    done: set[int] = field(default_factory=set)
    """Identifies that were processed; the others are still to be read."""
    before_recovery: list[bytes | None] | None = None
    """The state at the end, if no worker is paused then."""

    def erasures_of(self, key: bytes) -> Sequence[Erasure]:
        """Return the erasures that the worker knows."""
        assert key == KEY
        return self.erasures[: self.known]

    def can_read(self, offset: int) -> bool:
        """Return whether the identify may arrive now: what an erasure does not cover was sent after it was written."""
        return all(offset < each.items[0] for each in self.erasures[self.known :])

    def decide(self, steps: Sequence[KeyedIdentify]) -> list[bytes | None]:
        """Return the records that a worker writes for *steps*."""
        if not steps:
            return []
        folded = fold.fold_batch(steps, {KEY: self.state.get_many([KEY])[0]}, self.erasures_of)
        assert not folded.rejected
        return [*folded.changed.values(), *(None for _ in folded.gone)]

    def of_identify(self, offset: int) -> list[KeyedIdentify]:
        """Return what the identify is for the person."""
        headers = identify_headers(b"m", offset, 0)
        left = erased.after_erasures(self.identifies[offset], headers, self.erasures_of(KEY), CLUSTER)
        return [] if left is None else [(KEY, left)]

    def of_erasure(self, number: int) -> list[KeyedIdentify]:
        """Return the record of an erasure on `identifies.v1`; the stage waits until it knows it."""
        self.known = max(self.known, number + 1)
        return [(KEY, Erase("p", "u", self.erasures[number].requested_at))]

    def write(self, steps: Sequence[KeyedIdentify]) -> None:
        """Write what *steps* give, and apply it."""
        for value in self.decide(steps):
            self.log.append(value)
            self.state.apply([(KEY, value, 0)], changelog_offset=len(self.log) - 1, processed_offset=0)

    def recover(self, size: int, lag: int = 0) -> None:
        """Rebuild the state from the log in batches of *size*, and publish what is stale.

        Until the worker has recovered, the last *lag* of its erasures are not known.
        """
        self.state = MemoryPartitionStore(StoreConfig())
        known, self.known = self.known, max(0, self.known - lag)
        records = [SlimRecord(offset, KEY, value) for offset, value in enumerate(self.log)]
        for first in range(0, len(records), size):
            batch = records[first : first + size]
            puts, offset = replay.replay(batch, 0, self.state.get_many, self.erasures_of)
            self.state.apply(puts, changelog_offset=batch[-1].offset, processed_offset=offset)
        self.known = known
        if replay.stale_keys(self.state.get_many):
            (value,) = self.state.get_many([KEY])
            person = None if value is None else erased.up_to_date(decode_person(value), self.erasures_of(KEY))
            value = None if person is None else encode_person(person)
            self.log.append(value)
            puts = [(replay.STALE_KEYS, None, 0), (KEY, value, 0)]
            self.state.apply(puts, changelog_offset=len(self.log) - 1, processed_offset=0)


Action = tuple[str, int]


def run(world: World, actions: Sequence[Action]) -> None:
    """Let *actions* happen, then everything that has not happened yet."""
    count, doings = len(world.identifies), len(world.erasures)
    happen: dict[str, Callable[[int], None]] = {
        "read": lambda number: _read(world, number % count),
        "know": lambda number: setattr(world, "known", max(world.known, number % (doings + 1))),
        "erase": lambda number: world.write(world.of_erasure(number % doings) if doings else []),
        "pause": lambda number: world.pending.append(world.decide(_readable(world, number % count))),
        "pause erasing": lambda number: world.pending.append(
            world.decide(world.of_erasure(number % doings) if doings else [])
        ),
        "recover": lambda number: world.recover(number + 1),
        "recover behind": lambda number: world.recover(2, number),
    }
    for name, number in actions:
        if name == "resume":
            if world.pending:
                world.log += world.pending.pop(number % len(world.pending))
                world.recover(number + 1)
        else:
            happen[name](number)
    for number in range(doings):
        world.write(world.of_erasure(number))
    for offset in set(range(count)) - world.done:
        world.write(world.of_identify(offset))
    if not world.pending:
        world.before_recovery = world.state.get_many([KEY])
    while world.pending:
        world.log += world.pending.pop()
    world.recover(3)


def _read(world: World, offset: int) -> None:
    if world.can_read(offset):
        world.write(world.of_identify(offset))
        world.done.add(offset)


def _readable(world: World, offset: int) -> list[KeyedIdentify]:
    return world.of_identify(offset) if world.can_read(offset) else []
