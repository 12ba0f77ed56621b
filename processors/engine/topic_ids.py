"""The ids of topics: a topic that was deleted and created again has another id, even if it has grown past the old one.

aiokafka 0.14 asks for metadata without ids; the request here is of the first version that has them. A worker keeps the
ids in its directory beside the local state, which refers to offsets of these topics.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from processors.engine.errors import LocalStateUnavailableError, RecreatedTopicError
from processors.engine.start_offsets import RECREATED
from schemas.settings import KafkaSettings, kafka_arguments

FILE = "topic-ids.json"
TIMEOUT_SECONDS = 20.0


async def read_topic_ids(settings: KafkaSettings, topics: Iterable[str]) -> dict[str, str]:
    """Return the id of each of *topics* that exists; empty if the broker is too old to tell (before Kafka 3.1)."""
    names = sorted(set(topics))
    if not names:
        return {}  # An empty list would ask for all topics.
    client = AIOKafkaClient(**kafka_arguments(settings))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await client.bootstrap()
            try:
                answer = await client.send(client.get_random_node(), _MetadataRequest(names))
            except NotImplementedError:
                return {}
    finally:
        await client.close()
    return {name: topic_id for error, name, topic_id, *_ in answer.topics if error == 0}


def check_ids(known: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise `RecreatedTopicError` if a topic in *found* has another id than in *known*."""
    for topic, topic_id in sorted(found.items()):
        if known.get(topic, topic_id) != topic_id:
            raise RecreatedTopicError(
                f"{topic} has the topic id {topic_id}, but what this worker knows is of the topic with the id "
                f"{known[topic]}. {RECREATED}"
            )


class TopicIds:
    """The ids of the topics of a worker, since it has local state or has been running."""

    def __init__(self, settings: KafkaSettings, directory: Path | None) -> None:
        self._settings = settings
        self._file = None if directory is None else directory / FILE
        self.known: dict[str, str] = {}
        """By topic; empty before `start`, and with a broker that does not tell."""

    async def start(self, topics: Iterable[str]) -> None:
        """Read the ids of *topics*, compare them with those in the directory, and keep them there.

        Raises `RecreatedTopicError` if a topic was created again, `LocalStateUnavailableError` if the file cannot be
        read or written.
        """
        try:
            kept = {} if self._file is None else _read(self._file)
        except OSError as error:
            raise LocalStateUnavailableError(
                f"Cannot read {self._file}: {error.strerror}. The local state is kept. Free space, or let "
                f"this user read and write the file."
            ) from error
        found = await read_topic_ids(self._settings, topics)
        check_ids(kept, found)
        self.known.update(kept | found)
        if self._file is not None and self.known != kept:
            try:
                _write(self._file, self.known)
            except OSError as error:
                raise LocalStateUnavailableError(
                    f"Cannot write {self._file}: {error.strerror}. The local state is kept. Free space, or let "
                    f"this user read and write the file."
                ) from error

    async def check(self) -> None:
        """Raise `RecreatedTopicError` if a topic was created again since; KafkaError if Kafka does not answer."""
        check_ids(self.known, await read_topic_ids(self._settings, self.known))


def _read(file: Path) -> dict[str, str]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {str(topic): str(topic_id) for topic, topic_id in kept.items()} if isinstance(kept, dict) else {}


def _write(file: Path, known: Mapping[str, str]) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps(dict(sorted(known.items())), indent=1), encoding="utf-8")
    temporary.replace(file)


class _TopicId:
    """A UUID of 16 bytes on the wire, which aiokafka has no type for."""

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return str(UUID(bytes=data.read(16)))

    @classmethod
    def encode(cls, value: str) -> bytes:
        return UUID(value).bytes

    @classmethod
    def repr(cls, value: str) -> str:
        return value


_NO_ID = str(UUID(int=0))
_TAGS = ("tags", TaggedFields)
_NAME = CompactString("utf-8")


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("id", Int32), ("host", _NAME), ("port", Int32), ("rack", _NAME), _TAGS)),
        ("cluster_id", _NAME),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _NAME),
                ("topic_id", _TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _MetadataStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _TopicId), ("topic", _NAME), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _MetadataRequest(Request[_MetadataStruct]):  # type: ignore[misc]
    """Metadata with the ids of topics; it creates no topic."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        """Return the request on the wire."""
        topics: list[tuple[str, str, dict[int, bytes]]] = [(_NO_ID, topic, {}) for topic in self._topics]
        return request_struct_class(topics, False, False, {})  # noqa: FBT003  # in the order of the schema
