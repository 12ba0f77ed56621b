"""What can go wrong with ClickHouse.

ClickHouseError
├── UnavailableError    it does not answer, or cannot just now: ask again later; an insert may or may not have happened
├── TooLateError        the server's clock was past the time that the statement bears: nothing was written
├── RefusedRowsError    the engine cannot take these rows, whenever they come
├── LeaseLostError      the insert came too late to be ours: another worker may have the partition
└── MigrationError      the tables are not what the files say, and only a person can decide
"""

from __future__ import annotations


class ClickHouseError(Exception):
    """Something is wrong between us and ClickHouse."""


class UnavailableError(ClickHouseError):
    """ClickHouse does not answer or cannot at this time."""


class TooLateError(ClickHouseError):
    """A statement arrived, or was worked on, later than it allows; nothing of it was written."""


class RefusedRowsError(ClickHouseError):
    """The engine cannot take the rows."""


class LeaseLostError(ClickHouseError):
    """The partition may have moved to another worker."""


class MigrationError(ClickHouseError):
    """The tables cannot be brought to what the files say."""
