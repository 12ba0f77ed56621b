"""Why a worker ends its process.

EngineError
├── SkippedRecordsError       the input has a gap: something between broker and stage let records fall
├── InterleavedWriterError    another writer wrote into an output log that has one owner
├── LocalStateError           the local store does not match its log
└── RefusedStartError         going on would lose or double; only a person can decide
    ├── ExpiredInputError     records expired before they were read
    └── TruncatedLogError     a log ends below what is remembered of it: the topic was made anew
"""

from __future__ import annotations


class EngineError(Exception):
    """The worker cannot go on in this process."""


class SkippedRecordsError(EngineError):
    """A slice begins after the offset that was due."""


class InterleavedWriterError(EngineError):
    """An output was acknowledged at another offset than the one that was due."""


class LocalStateError(EngineError):
    """The local store does not match its log; it is rebuilt at the next start."""


class RefusedStartError(EngineError):
    """Going on would lose or double events."""


class ExpiredInputError(RefusedStartError):
    """Records were deleted by retention before they were read."""


class TruncatedLogError(RefusedStartError):
    """A log ends below an offset that is remembered of it."""
