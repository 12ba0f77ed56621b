"""The log lines about INSERTs that fail: the first of an outage, then fewer and fewer, and its end."""

from __future__ import annotations

import logging
from time import monotonic

from processors.clickhouse.codes import FaultKind, summary
from processors.clickhouse.errors import CertificateError, ClickHouseError, LeaseEndedError
from schemas.log_throttle import Outage

log = logging.getLogger(__name__)


class OutageLog:
    """Logs the failed attempts of one table. An error of another kind within an outage is logged at once."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._unavailable = Outage()
        self._refused = Outage()
        self._refused_blocks = 0

    def failed(self, error: ClickHouseError) -> None:
        """Log that ClickHouse does not answer or does not work."""
        if error.fault.kind is FaultKind.STATE:
            self._log_refused(error)
            return
        if (attempts := self._unavailable.failed(monotonic(), type(error))) is None:
            return
        values = (self._table, attempts.failed, attempts.seconds, reason(error))
        if isinstance(error, CertificateError):
            log.error(
                "%s: waiting for ClickHouse, retrying until its certificate is valid: %d attempts failed in %.0f s. %s",
                *values,
            )
        elif isinstance(error, LeaseEndedError):
            log.warning("%s: waiting for the lease: %d attempts failed in %.0f s. %s", *values)
        else:
            log.warning(
                "%s: waiting for ClickHouse, retrying until it answers: %d attempts failed in %.0f s. "
                "The last error: %s",
                *values,
            )

    def answered(self) -> None:
        """Log the end of the outage: ClickHouse has answered."""
        if (attempts := self._unavailable.succeeded(monotonic())) is not None:
            log.info(
                "%s: ClickHouse is available again: %d attempts failed in %.0f s",
                *(self._table, attempts.failed, attempts.seconds),
            )
        if not self._refused_blocks:
            self._log_accepted()

    def block_refused(self, error: ClickHouseError, *, first: bool) -> None:
        """Log that ClickHouse works and does not take a block; *first* is its first time."""
        self._refused_blocks += first
        self._log_refused(error)

    def block_done(self) -> None:
        """Note that a block that was refused is written or rejected."""
        self._refused_blocks -= 1
        if not self._refused_blocks:
            self._log_accepted()

    def _log_refused(self, error: ClickHouseError) -> None:
        if (attempts := self._refused.failed(monotonic(), error.code)) is None:
            return
        fault = error.fault
        values = (self._table, fault.text, fault.advice, attempts.failed, attempts.seconds, reason(error))
        if fault.kind is FaultKind.STATE:
            log.error(
                "%s: ClickHouse does not take rows, retrying until this is corrected. %s %s %d attempts failed in "
                "%.0f s. The last error: %s",
                *values,
            )
        else:
            log.warning(
                "%s: ClickHouse does not take some rows, retrying with fewer. %s %s %d attempts failed in %.0f s. "
                "The last error: %s",
                *values,
            )

    def _log_accepted(self) -> None:
        if (attempts := self._refused.succeeded(monotonic())) is not None:
            log.info(
                "%s: ClickHouse takes the rows again: %d attempts failed in %.0f s",
                *(self._table, attempts.failed, attempts.seconds),
            )


def reason(error: BaseException) -> str:
    """Return why *error* was raised: the system's reason of a connection that failed, otherwise its own text."""
    cause: BaseException | None = None if isinstance(error, CertificateError) else error
    while cause is not None and not (isinstance(cause, OSError) and str(cause)):
        cause = cause.__cause__ or cause.__context__
    return summary(str(error)) if cause is None else str(cause)
