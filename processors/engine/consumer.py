"""Faust's Kafka transport `sequence://`: delivers consecutive records of one partition as one event.

Faust spends more on a record than the pipeline's work on it; here it handles a batch as it would a record. Overridden:
how fetched records become events (`getmany`), the tracking of acknowledged offsets (`_new_offset`, `_add_gap`), and the
wait while all partitions are paused (`_wait_next_records`). The consumer still runs in Faust's own thread, so
heartbeats continue while the main loop is busy. `app.py` and this module alone use private names of Faust,
`aiokafka_patches.py` those of aiokafka; `tests/unit/processors/engine/test_private_names.py` has a canary for each.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from processors.engine import aiokafka_patches
from processors.engine.commit_proofs import CommitProofs
from processors.engine.fetch_epochs import ActivePartitions, Fetched, FetchEpochs
from processors.engine.membership import GroupMembership
from processors.engine.stage import RecordBatch

FETCH_WAIT_MS = 250
"""How long the broker holds a fetch without data. Faust fixes 1.5 s, and later requests of the connection wait."""
GATHER_MS = 40
"""How long the broker holds a fetch that follows closely on another, because each has a fixed cost."""
GATHER_BYTES = 1024 * 1024
"""Bytes at which it answers sooner."""
FAUST_LOGGER = logging.getLogger("faust.consumer")
"""Not `driver.logger`, which Faust replaces by one of the module of each subclass."""
_RESUME_SECONDS = 0.05
"""Longest wait of a fetch while a partition is paused: bounds the delay after it is resumed."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer."""

    # Service events are logged under Faust's name, which `deploy.logging` limits to warnings.
    logger = FAUST_LOGGER

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epochs = FetchEpochs()
        self._fetched_at = 0.0
        self.proofs = CommitProofs(self._commit_metadata)

    def _create_worker_consumer(self, transport: Any) -> Any:
        aiokafka_patches.patch_consumer_records()
        consumer = super()._create_worker_consumer(transport)
        aiokafka_patches.set_initial_fetch_wait(consumer, FETCH_WAIT_MS)
        aiokafka_patches.add_commit_metadata(consumer, self._commit_metadata, self.proofs.note)
        return consumer

    def _commit_metadata(self, tp: Any) -> str:
        app: Any = self.app
        metadata: str = app.runner.commit_metadata(TP(*tp))
        return metadata

    async def on_start(self) -> None:
        """Connect, and observe heartbeats."""
        await super().on_start()
        aiokafka_patches.observe_heartbeats(self._ensure_consumer(), self._heartbeat_sent)

    def _heartbeat_sent(self) -> Callable[[object], None]:
        group: Any = self.consumer
        acknowledged = group.membership.sent()

        def accepted(node: object) -> None:
            group.app.kafka_log.succeeded()
            if group.membership.is_observed:
                self.proofs.begin(self._ensure_consumer(), node, acknowledged)

        return accepted

    def heartbeat_soon(self) -> None:
        """Send a heartbeat, if this worker is a member of the group; for any thread."""
        try:
            consumer = self._ensure_consumer()
        except ConsumerNotStarted:
            return
        if not self.thread_loop.is_closed():
            asyncio.run_coroutine_threadsafe(aiokafka_patches.send_heartbeat(consumer), self.thread_loop)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust logs an ERROR every 2.5 s for each paused changelog partition of a healthy worker.

        `processors.engine.watchdog` detects consumers that have stopped.
        """

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        """Return offset and metadata of each partition that the group has committed."""
        wanted = [driver.ensure_aiokafka_TP(tp) for tp in partitions]
        found = await self.call_thread(aiokafka_patches.committed_offsets, self._ensure_consumer(), wanted)
        return {TP(*tp): commit for tp, commit in found.items()}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """End the fetch epochs before Faust handles the revocation."""
        self.epochs.clear()
        self.proofs.clear()
        await super().on_partitions_revoked(revoked)
        self.proofs.clear()  # Again: the last commit notes its offsets, although another worker may commit higher ones.

    async def seek_to_committed(self) -> Any:
        """Seek every partition to its committed offset, or to its start, and return the committed offsets.

        Faust drops what it had fetched when a rebalance or a recovery began and relies on this seek to fetch it again.
        Faust's own leaves out partitions without a commit, so their first records would stay dropped.
        """
        return await self.call_thread(self._seek_to_committed_or_start)

    def seek(self, partition: TP, offset: int) -> None:
        """Not supported: it would start no fetch epoch. Use `seek_wait`."""
        raise NotImplementedError("use seek_wait, which starts a fetch epoch")

    async def _seek_to_committed_or_start(self) -> Any:
        consumer = self._ensure_consumer()
        # A rebalance may overtake a recovery: its seeks say nothing about the next assignment.
        assignment = aiokafka_patches.current_assignment(consumer)
        offsets = {tp: await consumer.committed(tp) for tp in consumer.assignment()}
        if aiokafka_patches.current_assignment(consumer) is not assignment:
            raise IllegalStateError("the partitions were reassigned")
        known = {tp: offset for tp, offset in offsets.items() if offset is not None}
        self.epochs.seek(known)
        for tp, offset in known.items():
            consumer.seek(tp, offset)
        fresh = [
            tp for tp, offset in offsets.items() if offset is None and tp.topic not in self.app.tables.changelog_topics
        ]
        if fresh:
            # Resets the partitions before it first awaits, so that nothing is fetched of them in between.
            self.epochs.seek(dict.fromkeys(fresh, 0))
            await consumer.seek_to_beginning(*fresh)
        return offsets

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        aiokafka_patches.current_assignment(consumer)
        # Faust seeks before it first awaits. It also asks for the offset before the first one.
        self.epochs.seek({tp: max(offset, 0) for tp, offset in partitions.items()})
        await super()._seek_wait(consumer, partitions)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """Return one batch for each fetched partition, with its epoch.

        The start of each batch is noted here, in the consumer's thread and when the position moves: any later loss of a
        batch leaves a gap that the runner sees.
        """
        fetched = await super()._fetch_records(*args, **kwargs)
        self._adapt_fetch_wait(found=bool(fetched))
        return self.epochs.batches(fetched)

    def _adapt_fetch_wait(self, *, found: bool) -> None:
        """Let the next fetch gather records if records follow closely on each other, otherwise return the first."""
        now = time.monotonic()
        gather = found and now - self._fetched_at < GATHER_MS / 1000
        if found:
            self._fetched_at = now
        aiokafka_patches.set_fetch_wait(
            self._ensure_consumer(), GATHER_BYTES if gather else 1, GATHER_MS if gather else FETCH_WAIT_MS
        )


class BatchConsumer(driver.Consumer):
    """Faust's consumer, in batches."""

    logger = FAUST_LOGGER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._resumed = asyncio.Event()
        self._held: set[TP] = set()
        self._sought = asyncio.Event()
        conf = self.app.conf
        # After a heartbeat the group may begin a rebalance at once, and then waits for its members.
        kept_seconds = min(float(conf.broker_session_timeout), float(conf.broker_rebalance_timeout))
        self.membership = GroupMembership(kept_seconds, self.thread.heartbeat_soon)
        self.log_starts: dict[TP, int] = {}
        """First offset of each log, read at the start of recovery."""

    def _new_consumer_thread(self) -> BatchConsumerThread:
        self.thread = BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)
        return self.thread

    async def earliest_offsets(self, *partitions: TP) -> Any:
        """Return the first offset of each log, and keep it for the contiguity check of recovery."""
        offsets = await super().earliest_offsets(*partitions)
        self.log_starts.update(offsets)
        return offsets

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Forget which partitions were paused."""
        self._buffered_partitions.clear()
        self._held.clear()
        self._sought.clear()
        # A batch that the rebalance cut off has noted its offset here, and Faust would drop what is below.
        self._read_offset.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def on_buffer_drop(self, tp: TP) -> None:
        """Resume fetching from *tp*."""
        super().on_buffer_drop(tp)
        self._resumed.set()

    def hold(self, tp: TP) -> None:
        """Fetch nothing from *tp* until `release`, whatever Faust resumes."""
        self._held.add(tp)

    def release(self, tp: TP) -> None:
        """Start fetching from *tp*."""
        self._held.discard(tp)
        self._resumed.set()

    async def perform_seek(self) -> None:
        """Seek the committed offsets, as Faust does after each assignment."""
        await super().perform_seek()
        self._sought.set()

    async def start_at(self, offsets: Mapping[TP, int]) -> None:
        """Fetch partitions that are held from *offsets*; `IllegalStateError` if a rebalance has begun.

        The next commits may be lower than the last: what is processed again then shows as lag.
        """
        # Faust's own seek of this assignment comes later than the decision where to start, or earlier.
        await self._sought.wait()
        for tp in offsets:
            self._committed_offset.pop(tp, None)
        await self.seek_wait(offsets)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109  # Faust's signature
        """Yield one message for each partition that has records: its value is a `RecordBatch`.

        A rebalance may begin and end during a fetch. A batch of the current fetch epoch must be delivered, because
        nothing fetches it again; a stale one is dropped and fetched again.
        """
        fetched: dict[TP, Fetched] = await self._wait_next_records(timeout)
        for tp, (batch, epoch) in fetched.items():
            if not self.flow_active:
                await self.wait(self.can_resume_flow.wait())
            if self.should_stop:
                return
            assigned = tp in self._get_active_partitions() or tp in self._buffered_partitions
            if assigned and self.thread.epochs.is_current(tp, epoch):
                yield tp, self._message(tp, batch)

    def _message(self, tp: TP, batch: RecordBatch) -> ConsumerMessage:
        # The offset of a batch is that of its last record: acknowledging it commits all of it.
        return ConsumerMessage(
            batch.topic,
            batch.partition,
            batch.last_offset,
            batch.records[-1].timestamp / 1000.0,
            0,
            None,
            None,
            batch,  # type: ignore[arg-type]  # Faust declares a record's bytes here
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109  # Faust's signature
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        if active <= self._held:
            # Faust sleeps a second here, although all partitions may only be paused because they are full.
            self._resumed.clear()
            await self.wait_first(self._resumed.wait(), timeout=_RESUME_SECONDS)
            return {}
        wait = min(timeout, _RESUME_SECONDS) if self._buffered_partitions or self._held else timeout
        return await self._getmany(active_partitions=ActivePartitions(active, self._held), timeout=wait)  # type: ignore[arg-type]

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: the offsets between those of two batches are the records of the second, not a gap."""

    def _new_offset(self, tp: TP) -> int | None:
        # Batches of a partition are processed and acknowledged in order, so the highest one covers all before it; the
        # runner has checked that none is missing.
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
