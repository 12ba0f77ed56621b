"""Errors of ClickHouse.

ClickHouseError          a statement failed; `fault` says what its code means
├── UnavailableError     no answer, or not able at the moment: retry later; an INSERT may or may not have been written
│   ├── CertificateError  the server's certificate cannot be verified: nothing was sent; a person must act
│   ├── LostAnswerError   the statement was sent, but its answer did not arrive in time or at all
│   ├── TooLateError      the server's clock was past the deadline of a statement: nothing was written
│   └── LeaseEndedError   another worker may own the partitions: nothing was written
├── RejectedRowsError    a value cannot be parsed or converted
└── MigrationError       the tables differ from the migration files: a person must act
    ├── OutdatedTablesError  they were created by an older version
    └── FunctionError     the tables are right, but a SQL function is another one or cannot be created
"""

from __future__ import annotations

from processors.clickhouse import codes
from processors.clickhouse.codes import Fault


class ClickHouseError(Exception):
    """A statement failed, or ClickHouse did not answer."""

    def __init__(self, message: str = "", code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """ClickHouse's error code; None if ClickHouse did not answer with one."""

    @property
    def fault(self) -> Fault:
        """What the error means for an INSERT, and what to do."""
        return codes.UNREACHABLE if self.code is None else codes.fault_of_code(self.code)


class UnavailableError(ClickHouseError):
    """ClickHouse does not answer or cannot at the moment; retry later."""


class CertificateError(UnavailableError):
    """The server's certificate cannot be verified. Retrying helps once the certificate has been replaced."""


class LostAnswerError(UnavailableError):
    """A statement was sent, but its answer did not arrive in time or at all."""

    @property
    def fault(self) -> Fault:
        """What the error means for an INSERT, and what to do."""
        return codes.LATE


class TooLateError(UnavailableError):
    """A statement was executed after its deadline; nothing of it was written."""

    @property
    def fault(self) -> Fault:
        """What the error means for an INSERT, and what to do."""
        return codes.LATE


class LeaseEndedError(UnavailableError):
    """The partitions may have moved to another worker; retry once the group has acknowledged a heartbeat."""


class RejectedRowsError(ClickHouseError):
    """ClickHouse cannot parse or convert a value."""

    @property
    def fault(self) -> Fault:
        """What the error means for an INSERT, and what to do."""
        return codes.INVALID_VALUE


class MigrationError(ClickHouseError):
    """The tables differ from the migration files."""


class OutdatedTablesError(MigrationError):
    """The tables were created by an older version, whose files have been replaced."""


class FunctionError(MigrationError):
    """A SQL function of the migration files is another one on the server, or cannot be created."""
