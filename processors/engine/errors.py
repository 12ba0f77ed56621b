"""Why a worker exits.

EngineError
├── SkippedRecordsError         gap in the input: records were skipped between the broker and the stage
├── InterleavedWriterError      another worker wrote to an output log that has one owner
├── LocalStateError             the local store does not match its changelog
├── LocalStateUnavailableError  the local store cannot be opened or written, for example for lack of space
├── WorkerDirectoryError        the worker's directory cannot be created or written
├── MetricsPortError            the worker cannot listen on the port of its metrics
├── StalledError                lag, and no progress
├── TableRolledBackError        a ClickHouse table shows less than this worker wrote
├── KafkaUnavailableError       Kafka did not answer at the start
└── RefusedStartError           continuing would lose or double events; a person must act (exit code 78)
    ├── TopicsError             topics are missing or differ in their number of partitions
    ├── PermissionDeniedError   Kafka denies the worker a topic or its group
    ├── ExpiredInputError       records expired before they were read
    ├── TruncatedLogError       a log ends below an offset that was processed: the topic was recreated
    │   └── RecreatedTopicError its id tells so
    └── ForeignDatabaseError    the tables have rows of another Kafka, prefix or number of partitions
"""

from __future__ import annotations


class EngineError(Exception):
    """The worker cannot continue in this process."""


class SkippedRecordsError(EngineError):
    """A batch begins after the expected offset."""


class InterleavedWriterError(EngineError):
    """An output was acknowledged at an unexpected offset."""


class LocalStateError(EngineError):
    """The local store does not match its changelog; the next start rebuilds it."""


class LocalStateUnavailableError(EngineError):
    """The operating system does not let the worker open or write its local store, which is intact."""


class WorkerDirectoryError(EngineError):
    """The worker's directory cannot be created or written; reported before the worker connects."""


class MetricsPortError(EngineError):
    """The worker cannot serve its metrics and health; reported before the worker connects."""


class StalledError(EngineError):
    """A partition has lag and has made no progress for too long."""


class TableRolledBackError(EngineError):
    """A ClickHouse table was restored or emptied while the sink ran; the next start writes what is missing."""


class KafkaUnavailableError(EngineError):
    """Kafka did not answer within the time that a worker waits for it at its start."""


class RefusedStartError(EngineError):
    """Continuing would lose or double events; a person must act."""


class TopicsError(RefusedStartError):
    """Topics are missing, or differ in their number of partitions."""


class PermissionDeniedError(RefusedStartError):
    """Kafka denies the worker's user an operation on a topic or on its group."""


class ExpiredInputError(RefusedStartError):
    """Retention deleted records before they were read."""


class TruncatedLogError(RefusedStartError):
    """A log ends below an offset that was processed."""


class RecreatedTopicError(TruncatedLogError):
    """A topic has another id than the one whose offsets are known. Nothing changes that, unlike the end of a log."""


class ForeignDatabaseError(RefusedStartError):
    """The tables have rows of another log, whose source offsets mean nothing in this one."""
