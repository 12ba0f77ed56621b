"""Faust's Kafka transport, delivering a run of consecutive records of one partition as one event.

Faust spends more on a record than the pipeline's work on it; here it handles a slice as it would a record. What that
changes in its consumer is overridden and nothing else: how fetched records become events (`getmany`), what is known of
acknowledged offsets (`_new_offset`, `_add_gap`), and waiting for room (`_wait_next_records`). The consumer still runs
in Faust's own thread, so heartbeats go on while the main loop is busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Container, Iterable, Mapping
from typing import Any

from aiokafka.errors import IllegalStateError
from faust import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from processors.engine.aiokafka_patches import patch_consumer_records
from processors.engine.fetch_epochs import Fetched, FetchEpochs
from processors.engine.stage import RecordBatch

FETCH_WAIT_MS = 250
"""How long the broker holds a fetch for which there is no data."""
GATHER_MS = 40
"""How long at most it holds one that follows so soon on another: each costs its request, however little it brings."""
GATHER_BYTES = 1024 * 1024
"""What it need not hold any longer."""
_ROOM_SECONDS = 0.05
"""How long a fetch may wait for news while a partition is held back for want of room: bounds the stall after it."""


class Active:
    """The partitions that are read: none where there are none, which aiokafka would take for all."""

    def __init__(self, tps: Container[TP]) -> None:
        self._tps = tps

    def __contains__(self, tp: object) -> bool:
        return tp in self._tps


class BatchSchema(Schema[Any, Any]):
    """Passes a slice through: there is nothing to decode."""

    def compile(self, app: Any, **_: Any) -> Any:
        """Return the function that turns a message into an event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001  # Faust's signature
            return create_event(None, message.value, message.headers, message)

        return decode


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer."""

    # Faust's services tell each step of their life; they tell it under Faust's name.
    logger = driver.logger

    def __post_init__(self) -> None:
        super().__post_init__()
        self.places = FetchEpochs()
        self.last_heartbeat = 0.0
        self._fetched_at = 0.0

    def _create_worker_consumer(self, transport: Any) -> Any:
        patch_consumer_records()
        consumer = super()._create_worker_consumer(transport)
        # Faust fixes 1.5 s; whatever else is asked on the connection waits that long behind an idle fetch.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Connect, and note when each good heartbeat was sent."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  # aiokafka keeps this time to itself
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def noted_heartbeat() -> bool:
            sent_at = time.monotonic()
            good: bool = await beat()
            if good:
                self.last_heartbeat = sent_at
            return good

        coordinator._do_heartbeat = noted_heartbeat  # noqa: SLF001

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        """Return the committed offset of each partition, None where there is none."""
        consumer = self._ensure_consumer()

        async def read() -> dict[TP, int | None]:
            return {tp: await consumer.committed(driver.ensure_aiokafka_TP(tp)) for tp in partitions}

        return await self.call_thread(read)  # type: ignore[no-any-return]

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget where partitions are read, before anybody else hears of it."""
        self.places.forget()
        await super().on_partitions_revoked(revoked)

    async def seek_to_committed(self) -> Any:
        """Seek every partition to its committed offset, or to its start, and return the committed offsets.

        Faust drops what it had fetched when a rebalance or a recovery began and relies on this seek to fetch it again.
        aiokafka's leaves a partition alone where nothing is committed yet, so its first records would stay dropped.
        """
        return await self.call_thread(self._seek_to_committed_or_start)

    def seek(self, partition: TP, offset: int) -> None:
        """Refuse: reading would begin where nobody has noted it."""
        raise NotImplementedError("seek_wait notes where reading begins")

    async def _seek_to_committed_or_start(self) -> Any:
        consumer = self._ensure_consumer()
        assignment = self._assignment()
        offsets = {tp: await consumer.committed(tp) for tp in consumer.assignment()}
        if self._assignment() is not assignment:
            raise IllegalStateError("the partitions were assigned anew")
        known = {tp: offset for tp, offset in offsets.items() if offset is not None}
        self.places.seek(known)
        for tp, offset in known.items():
            consumer.seek(tp, offset)
        fresh = [
            tp for tp, offset in offsets.items() if offset is None and tp.topic not in self.app.tables.changelog_topics
        ]
        if fresh:
            # Marks the partitions before it waits for anything, so that nothing is fetched of them in between.
            self.places.seek(dict.fromkeys(fresh, 0))
            await consumer.seek_to_beginning(*fresh)
        return offsets

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self._assignment()
        # Seeks before it waits for anything. Faust asks for the offset before the first one, too.
        self.places.seek({tp: max(offset, 0) for tp, offset in partitions.items()})
        await super()._seek_wait(consumer, partitions)

    def _assignment(self) -> Any:
        """Return what stands for this assignment in aiokafka; `IllegalStateError` where a rebalance has begun.

        A recovery that the rebalance overtook ends by it: what it seeks says nothing of where the next one is read.
        """
        subscription = self._ensure_consumer()._subscription  # noqa: SLF001
        if subscription.reassignment_in_progress:
            raise IllegalStateError("a rebalance has begun")
        return subscription.subscription.assignment

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """Return by partition a slice of what was fetched, with its place.

        Where each begins is noted here, in the consumer's own thread and at the moment that its position moves: a slice
        that is dropped on its way from here on leaves a gap that shows.
        """
        fetched = await super()._fetch_records(*args, **kwargs)
        self._gather(found=bool(fetched))
        return self.places.read(fetched)

    def _gather(self, *, found: bool) -> None:
        """Let the next fetch bring whatever comes first, or more at once where records follow close on each other.

        aiokafka reads both numbers when it asks the broker, which it does as soon as the records of this one are taken.
        """
        now = time.monotonic()
        close = found and now - self._fetched_at < GATHER_MS / 1000
        if found:
            self._fetched_at = now
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001
        fetcher._fetch_min_bytes = GATHER_BYTES if close else 1  # noqa: SLF001
        fetcher._fetch_max_wait_ms = GATHER_MS if close else FETCH_WAIT_MS  # noqa: SLF001


class BatchConsumer(driver.Consumer):
    """Faust's consumer, in slices."""

    logger = driver.logger

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()
        self.log_starts: dict[TP, int] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        self.thread = BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)
        return self.thread

    def lease_until(self) -> float:
        """Return until when, on `time.monotonic`, the group surely still counts us in."""
        return self.thread.last_heartbeat + float(self.app.conf.broker_session_timeout)

    async def earliest_offsets(self, *partitions: TP) -> Any:
        """Return the first offset of each log, and keep it for recovery's check."""
        offsets = await super().earliest_offsets(*partitions)
        self.log_starts.update(offsets)
        return offsets

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a lease and forget what was held back."""
        self.thread.last_heartbeat = time.monotonic()
        self._buffered_partitions.clear()
        # What was cut off by the rebalance has noted its offset here, and Faust drops what is below.
        self._read_offset.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch from *tp* again."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109
        """Yield one message for each partition that has records: its value is a `RecordBatch`.

        A fetch may be under way while a rebalance begins, ends, or both. Its slices go on if their partitions are still
        read where they were read, and then they have to: nothing fetches them again. The others are fetched again.
        """
        fetched: dict[TP, Fetched] = await self._wait_next_records(timeout)
        for tp, (run, place) in fetched.items():
            if not self.flow_active:
                await self.wait(self.can_resume_flow.wait())
            if self.should_stop:
                return
            wanted = tp in self._get_active_partitions() or tp in self._buffered_partitions
            if wanted and self.thread.places.hold(tp, place):
                yield tp, self._slice_message(tp, run)

    def _slice_message(self, tp: TP, run: RecordBatch) -> ConsumerMessage:
        # The offset of a slice is that of its last record: acknowledging it commits all of it.
        return ConsumerMessage(
            run.topic,
            run.partition,
            run.last_offset,
            run.records[-1].timestamp / 1000.0,
            0,
            None,
            None,
            run,  # type: ignore[arg-type]  # a slice stands where Faust has a record's bytes
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        if not active:
            # Faust sleeps a second here, with every partition merely held back for want of room.
            self._room.clear()
            await self.wait_first(self._room.wait(), timeout=_ROOM_SECONDS)
            return {}
        wait = min(timeout, _ROOM_SECONDS) if self._buffered_partitions else timeout
        return await self._getmany(active_partitions=Active(active), timeout=wait)  # type: ignore[arg-type]

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: between the offsets of two slices lie the records of the second, not a gap."""

    def _new_offset(self, tp: TP) -> int | None:
        # Slices of a partition are worked on one after another and acknowledged in order, so the highest one covers
        # all before it; the runner has checked that none is missing.
        acked = self._acked[tp]
        if not acked:
            return None
        last: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1


class BatchTransport(driver.Transport):
    """The transport that `sequence://` names."""

    Consumer = BatchConsumer
