"""Errors of ClickHouse.

ClickHouseError
├── UnavailableError     no answer, or not able at the moment: retry later; an INSERT may or may not have been written
│   └── CertificateError  the server's certificate cannot be verified: nothing was sent; a person must act
├── TooLateError         the server's clock was past the deadline of a statement: nothing was written
├── RejectedRowsError    ClickHouse cannot store these rows, however often they are sent
├── LeaseLostError       the lease ended before an INSERT: another worker may own the partition
└── MigrationError       the tables differ from the migration files: a person must act
"""

from __future__ import annotations


class ClickHouseError(Exception):
    """A statement failed, or ClickHouse did not answer."""


class UnavailableError(ClickHouseError):
    """ClickHouse does not answer or cannot at the moment; retry later."""


class CertificateError(UnavailableError):
    """The server's certificate cannot be verified. Retrying helps once the certificate has been replaced."""


class TooLateError(ClickHouseError):
    """A statement was executed after its deadline; nothing of it was written."""


class RejectedRowsError(ClickHouseError):
    """ClickHouse cannot store the rows."""


class LeaseLostError(ClickHouseError):
    """The partition may have moved to another worker."""


class MigrationError(ClickHouseError):
    """The tables differ from the migration files."""
