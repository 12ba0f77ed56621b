"""`/api/live`: the open streams, what each of them shows, and what it skipped. Nothing is skipped silently.

Every stream has a queue with limits of items and bytes. A page that reads slowly loses the oldest items of its queue,
and its stream reports how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import msgspec

from deploy.console.access import Viewer
from deploy.console.errors import BusyError
from deploy.console.items import Item
from deploy.console.metrics import ConsoleMetrics
from deploy.console.search_sql import Match
from deploy.console.tail import Arrivals, Audience
from schemas.records import INVALID_ITEM
from schemas.times import format_time

QUEUE_ITEMS = 200
QUEUE_BYTES = 2 * 1024 * 1024
_encode = msgspec.json.Encoder().encode


class LiveItem:
    """An item with what the streams share of it."""

    def __init__(self, item: Item) -> None:
        self.item = item

    @cached_property
    def text(self) -> str:
        """The item as JSON."""
        return _encode(self.item).decode()

    @cached_property
    def searched(self) -> str:
        """The content as compact JSON in lower case, which the search compares."""
        content = bytes(self.item.content)
        with contextlib.suppress(*INVALID_ITEM):
            content = _encode(msgspec.json.decode(content))
        return content.decode(errors="replace").lower()


@dataclass(slots=True)
class Skipped:
    """Items that a stream did not show."""

    count: float = 0.0
    is_estimate: bool = False


@dataclass(slots=True, eq=False)
class Stream:
    """What one page gets. `wake` is set when there is something to send."""

    viewer: Viewer
    match: Match
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_closing: bool = False
    rates: str | None = None
    source: str | None = None
    """Whether records are read, as JSON, if that has changed."""
    _items: deque[LiveItem] = field(default_factory=deque)
    _bytes: int = 0
    _skipped: Skipped = field(default_factory=Skipped)
    _matched: int = 0
    """Items that matched since the last report."""
    _share: float = 0.0
    """Of the records that are read, how many match."""

    def offer(self, item: LiveItem) -> int:
        """Queue *item* if it matches, and return how many items were dropped for it."""
        if not matches(self.match, item):
            return 0
        self._matched += 1
        self._items.append(item)
        self._bytes += len(item.text)
        dropped = 0
        while len(self._items) > QUEUE_ITEMS or (self._bytes > QUEUE_BYTES and len(self._items) > 1):
            self._bytes -= len(self._items.popleft().text)
            dropped += 1
        self._skipped.count += dropped
        self.wake.set()
        return dropped

    def skip(self, count: int) -> None:
        """Note that *count* records were not read. How many would match follows from those that were, 1 at least."""
        if self.match == Match():
            self._skipped.count += count
        else:
            self._skipped.count += max(1.0, count * self._share)
            self._skipped.is_estimate = True
        self.wake.set()

    def report(self, rates: str, read: int) -> None:
        """Note the newest rates, and that *read* records were read since the report before."""
        if read:
            self._share = (self._share + self._matched / read) / 2
        self._matched = 0
        self.rates = rates
        self.wake.set()

    def take(self, most: int) -> list[LiveItem]:
        """Return at most *most* of the oldest items in the queue, and remove them."""
        taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._bytes -= sum(len(item.text) for item in taken)
        return taken

    def take_skipped(self) -> str | None:
        """Return the event about skipped items, None if there are none."""
        skipped, self._skipped = self._skipped, Skipped()
        count = math.ceil(skipped.count)
        return None if count == 0 else _encode({"count": count, "isEstimate": skipped.is_estimate}).decode()

    @property
    def waiting(self) -> int:
        """Number of items in the queue."""
        return len(self._items)


def matches(match: Match, item: LiveItem) -> bool:
    """Return whether a stream with *match* shows *item*."""
    shown = item.item
    wanted = (
        (match.project_id, shown.project_id),
        (match.verdict, shown.verdict),
        (match.event, shown.event),
        (match.user_id, shown.user_id),
    )
    if any(asked is not None and asked != found for asked, found in wanted):
        return False
    return match.search is None or match.search.lower() in item.searched


class Reader(Protocol):
    """Reads for an audience."""

    async def run(self) -> None:
        """Read until the task is cancelled."""


class Live(Audience):
    """The open streams. The reader of Kafka runs while there is one."""

    def __init__(self, most: int, metrics: ConsoleMetrics, reader: Callable[[Audience], Reader]) -> None:
        self._most = most
        self._metrics = metrics
        self._reader = reader(self)
        self._streams: set[Stream] = set()
        self._running: asyncio.Task[None] | None = None
        self._problem: str | None = None
        self._is_closed = False
        metrics.watch_streams(lambda: len(self._streams))

    def open(self, viewer: Viewer, match: Match) -> Stream:
        """Return a new stream; raises `BusyError` if there are as many as are allowed."""
        if len(self._streams) >= self._most or self._is_closed:
            self._metrics.refused.labels("too_many_streams").inc()
            raise BusyError(
                "too_many_streams",
                f"{self._most} pages show live items, which is the limit. Close one of them, or raise "
                "SEQUENCE_CONSOLE_LIVE_STREAMS.",
            )
        stream = Stream(viewer, match)
        self._streams.add(stream)
        if self._problem is not None:
            stream.source = _source(self._problem)
        if self._running is None:
            self._running = asyncio.create_task(self._reader.run(), name="tail")
        return stream

    def close(self, stream: Stream) -> None:
        """End *stream*; with the last one the reader stops."""
        self._streams.discard(stream)
        if not self._streams and self._running is not None:
            self._running.cancel()
            self._running = self._problem = None

    def close_all(self) -> None:
        """Let every stream end, and open no more."""
        self._is_closed = True
        for stream in self._streams:
            stream.is_closing = True
            stream.wake.set()

    def wants(self, project_id: str) -> bool:
        """Return whether a stream shows items of the project."""
        return any(stream.match.project_id in (None, project_id) for stream in self._streams)

    def show(self, item: Item) -> None:
        """Offer *item* to every stream."""
        live = LiveItem(item)
        dropped = sum(stream.offer(live) for stream in self._streams)
        if dropped:
            self._metrics.skipped_items.inc(dropped)

    def skip(self, count: int) -> None:
        """Tell every stream that *count* records were not read."""
        for stream in self._streams:
            stream.skip(count)

    def read(self, problem: str | None) -> None:
        """Tell every stream *problem*, why records are not read; None once they are."""
        if problem == self._problem:
            return
        self._problem = problem
        for stream in self._streams:
            stream.source = _source(problem)
            stream.wake.set()

    def report(self, arrivals: Arrivals, seconds: float) -> None:
        """Give every stream the rates of its project."""
        at = format_time(time.time_ns() // 1000)
        texts: dict[str | None, str] = {}
        for stream in self._streams:
            project_id = stream.match.project_id
            if project_id not in texts:
                rates = {
                    verdict: round(arrivals.count(verdict, project_id) / seconds, 1)
                    for verdict in ("accepted", "duplicate", "rejected")
                }
                texts[project_id] = _encode({"at": at, **rates}).decode()
            stream.report(texts[project_id], arrivals.total)


def _source(problem: str | None) -> str:
    return _encode({"isRead": problem is None, "message": problem}).decode()
