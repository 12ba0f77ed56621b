"""The fold stage: `identifies.v1` to `persons.v1`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import Output
from processors.engine.project_follower import FollowedProjects
from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, Put, RecordBatch, SourceRecord
from processors.erased_users import ErasedUsers
from processors.persons.erased import after_erasures, up_to_date
from processors.persons.fold import KeyedIdentify, Part, RejectedIdentify, fold_batch, in_parts
from processors.persons.forgetting import Forgetting
from processors.persons.replay import FORGET, STALE_KEYS, stale_keys
from processors.rejected import RejectedRecord, RejectionCode, source_of
from processors.rejected_topic import RejectedTopic
from schemas.items import Identify
from schemas.persons import decode_person, encode_person
from schemas.records import Erase, InvalidRecordError, decode_identify, encode_item, person_key
from schemas.topics import Topics

log = logging.getLogger(__name__)


class FoldStage:
    """Folds identifies with the table `persons`, whose changelog is `persons.v1`."""

    compacted = False
    max_records = 2_000
    linger_seconds = 0.1
    waiting = False

    def __init__(
        self, topics: Topics, persons: ChangelogTable, rejected: RejectedTopic, projects: FollowedProjects
    ) -> None:
        self.topic = topics.identifies
        self._persons = persons
        self._rejected = rejected
        self._projects = projects
        self._erased = ErasedUsers(projects)
        self._forgetting = Forgetting(persons)
        # A counter that appears with its first identify would show no increase.
        rejected.metrics.count_items("persons", folded=0, unchanged=0, erased=0, rejected=0)

    async def start(self, membership: Membership) -> None:
        """Begin to forget. `persons.v1` has one writer for each partition, and the table detects another."""
        del membership
        self._forgetting.start()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return the processed offsets that the table has, after publishing persons whose newest record is stale."""
        # A worker that had these partitions before may know more erasures.
        await self._projects.refresh()
        positions = await self._persons.positions(self.topic, inputs)
        for partition in inputs:
            await self._publish_stale(partition)
        return positions

    async def _publish_stale(self, partition: int) -> None:
        state = self._persons.partition(partition)
        keys = stale_keys(state.get_many)
        if keys:
            log.info("%s[%d]: publishing %d persons with a stale record", self._persons.topic, partition, len(keys))
            persons = {key: self._up_to_date(key, value) for key, value in zip(keys, state.get_many(keys), strict=True)}
            outputs = [Output(key, value) for key, value in persons.items()]
            puts: list[Put] = [(STALE_KEYS, None, 0), *((key, value, 0) for key, value in persons.items())]
            await self._persons.write(partition, outputs, puts, processed_offset=state.processed_offset)

    def _up_to_date(self, key: bytes, value: bytes | None) -> bytes | None:
        """Return the encoded person *value* after its erasures."""
        erasures = self._erased.of_key(key)
        if value is None or not erasures:
            return value
        stored = decode_person(value)
        person = up_to_date(stored, erasures)
        return value if person is stored else None if person is None else encode_person(person)

    def commit_metadata(self, partition: int) -> str:
        """Return nothing: the local state and its log tell what is processed."""
        del partition
        return ""

    async def process(self, batch: RecordBatch) -> None:
        """Fold the identifies of *batch* and write the persons that changed."""
        identifies: list[KeyedIdentify] = []
        read: list[SourceRecord] = []
        rejected: list[RejectedRecord] = []
        left_out = 0
        for record in batch.records:
            try:
                identify = _identify(record)
                if isinstance(identify, Erase):
                    await self._require_erasure(identify)
                    found: KeyedIdentify | None = (record.key or b"", identify)
                else:
                    found = self._after_erasures(record, identify)
            except InvalidRecordError as error:
                rejected.append(RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error)))
                continue
            if found is None:
                left_out += 1
                continue
            identifies.append(found)
            read.append(record)
        await self._rejected.write_records(rejected, batch.topic, batch.partition)
        self._rejected.metrics.count_items("persons", rejected=len(rejected), erased=left_out)
        folded = 0
        for part in in_parts(identifies, self._persons.partition(batch.partition).get_many):
            await self._write(batch.partition, part, read[folded : folded + len(part.identifies)])
            folded += len(part.identifies)
        if not identifies or read[-1].offset != batch.last_offset:
            await self._persons.write(batch.partition, [], [], processed_offset=batch.last_offset)

    def _after_erasures(self, record: SourceRecord, identify: Identify) -> KeyedIdentify | None:
        """Return what *identify* in *record* is for its person, None if an erasure leaves nothing of it."""
        key = record.key or b""
        erasures = self._erased.of(identify.project_id, identify.user_id)
        if not erasures:
            return key, identify
        left = after_erasures(identify, record.headers, erasures, self._projects.cluster_id)
        return None if left is None else (key, left)

    async def _require_erasure(self, erase: Erase) -> None:
        """Return once the erasure is known; raise `InvalidRecordError` if there is none."""
        if self._is_known(erase):
            return
        # It was written before this record, and is on its way to this worker.
        await self._projects.refresh()
        if not self._is_known(erase):
            raise InvalidRecordError("No erasure of this user was requested at this time.")

    def _is_known(self, erase: Erase) -> bool:
        erasures = self._erased.of(erase.project_id, erase.user_id)
        return any(each.requested_at == erase.requested_at for each in erasures)

    async def _write(self, partition: int, part: Part, read: Sequence[SourceRecord]) -> None:
        """Write the outputs of *part*, whose identifies are those of the records *read*."""
        folded = fold_batch(part.identifies, part.persons, self._erased.of_key)
        if folded.rejected:
            await self._reject(partition, folded.rejected, part, read)
        counts = {"unchanged": folded.unchanged, "erased": folded.erased, "rejected": len(folded.rejected)}
        self._rejected.metrics.count_items("persons", folded=len(part.identifies) - sum(counts.values()), **counts)
        persons: dict[bytes, bytes | None] = {**folded.changed, **dict.fromkeys(folded.gone)}
        outputs = [Output(key, value) for key, value in persons.items()]
        puts: list[Put] = [(key, value, 0) for key, value in persons.items()]
        if folded.forgets:
            puts.append((FORGET, b"read %d" % read[-1].offset, 0))
        await self._persons.write(partition, outputs, puts, processed_offset=read[-1].offset)

    async def _reject(
        self, partition: int, rejected: Sequence[RejectedIdentify], part: Part, read: Sequence[SourceRecord]
    ) -> None:
        records = {id(identify): record for (_, identify), record in zip(part.identifies, read, strict=True)}
        sources = [source_of(records[id(each.identify)], self.topic, partition) for each in rejected]
        await self._rejected.write(
            (
                self._rejected.rejection(
                    each.code, each.message, key=each.key, source=source, message_id=each.identify.message_id
                ),
                encode_item(each.identify),
            )
            for each, source in zip(rejected, sources, strict=True)
        )

    async def stop(self) -> None:
        """Log the last rejections, and end what forgets."""
        await self._forgetting.stop()
        self._rejected.stop()


def _identify(record: SourceRecord) -> Identify | Erase:
    item = decode_identify(record.value)
    if person_key(item.project_id, item.user_id) != record.key:
        raise InvalidRecordError("The record's key is not `project/userId` of its identify.")
    return item
