"""`identifies.v1` to `persons.v1`: what is known about each person."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import Output
from processors.engine.rocksdb import Put
from processors.engine.stage import Lease, Positions, RecordBatch, SourceRecord
from processors.persons.fold import RejectedTraits, fold_run
from processors.persons.replay import BEHIND, fallen_behind
from processors.rejected import RejectedTopic, rejection
from schemas.items import Identify
from schemas.persons import decode_person
from schemas.records import InvalidRecordError, decode_item, encode_item, person_key
from schemas.topics import Topics

log = logging.getLogger(__name__)


class FoldStage:
    """Folds identifies with the table `persons`, whose changelog is `persons.v1`."""

    compacted = False
    max_records = 2_000
    linger_seconds = 0.1
    waiting = False

    def __init__(self, topics: Topics, persons: ChangelogTable, rejected: RejectedTopic) -> None:
        self.topic = topics.identifies
        self._persons = persons
        self._rejected = rejected

    async def start(self, lease: Lease) -> None:
        """Need nothing: `persons.v1` has one writer, and the table notices another."""

    async def assigned(self, partitions: frozenset[int]) -> Positions:
        """Return how far each partition is folded; write the persons again that the log has fallen behind with."""
        positions = await self._persons.positions(self.topic, partitions)
        for partition in partitions:
            await self._catch_up(partition)
        return positions

    async def _catch_up(self, partition: int) -> None:
        state = self._persons.partition(partition)
        behind = fallen_behind(state.get_many)
        if behind:
            log.info("%s[%d]: %d persons are written again", self._persons.topic, partition, len(behind))
            values = zip(behind, state.get_many(behind), strict=True)
            await self._persons.write(
                partition,
                [Output(*entry) for entry in values],
                [(BEHIND, None, 0)],
                processed_offset=state.processed_offset,
            )

    async def process(self, batch: RecordBatch) -> None:
        """Fold *records* and write the persons that changed."""
        state = self._persons.partition(batch.partition)
        identifies = []
        unreadable = []
        for record in batch.records:
            try:
                identifies.append((record.key or b"", _identify(record)))
            except InvalidRecordError as error:
                unreadable.append((record, str(error)))
        await self._reject_unreadable(unreadable)
        keys = list({key for key, _ in identifies})
        persons = {
            key: None if value is None else decode_person(value)
            for key, value in zip(keys, state.get_many(keys), strict=True)
        }
        folded = fold_run(identifies, persons)
        await self._reject_refused(folded.refused)
        outputs = [Output(key, value) for key, value in folded.changed.items()]
        puts: list[Put] = [(key, value, 0) for key, value in folded.changed.items()]
        await self._persons.write(batch.partition, outputs, puts, processed_offset=batch.last_offset)

    async def stop(self) -> None:
        """Hold nothing."""

    async def _reject_unreadable(self, unreadable: Sequence[tuple[SourceRecord, str]]) -> None:
        await self._rejected.write(
            (rejection(stage="persons", code="not_an_item", message=message, key=record.key), record.value or b"")
            for record, message in unreadable
        )

    async def _reject_refused(self, refused: Sequence[RejectedTraits]) -> None:
        await self._rejected.write(
            (
                rejection(stage="persons", code=code, message=message, key=key, message_id=identify.message_id),
                encode_item(identify),
            )
            for key, identify, code, message in refused
        )


def _identify(record: SourceRecord) -> Identify:
    item = decode_item(record.value)
    if not isinstance(item, Identify):
        raise InvalidRecordError("not an identify")
    if person_key(item.project_id, item.user_id) != record.key:
        raise InvalidRecordError("the record's key is not that of its person")
    return item
