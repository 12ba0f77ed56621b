"""What a worker cannot take goes to `rejected.v1`, with its reason and its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from processors.engine.producer import ChangelogProducer
from schemas.items import Rejection
from schemas.records import rejection_record
from schemas.topics import Topics


class RejectedTopic:
    """Writes rejections. A repeat after a failure has the same key, and readers drop it by that."""

    def __init__(self, outputs: ChangelogProducer, topics: Topics) -> None:
        self._outputs = outputs
        self._topic = topics.rejected

    async def write(self, rejections: Iterable[tuple[Rejection, bytes]]) -> None:
        """Write each rejection with the bytes it is about; return when all are durable."""
        await self._outputs.send(self._topic, [rejection_record(reason, content) for reason, content in rejections])


def rejection(*, stage: str, code: str, message: str, key: bytes | None, message_id: str | None = None) -> Rejection:
    """Return the rejection of a record with *key*, at this moment."""
    project_id = (key or b"").partition(b"/")[0].decode("utf-8", "replace")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return Rejection(
        project_id=project_id, stage=stage, code=code, message=message, rejected_at=now, message_id=message_id
    )
