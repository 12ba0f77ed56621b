"""The log of aiokafka in a worker: its many lines about an outage become one line, then fewer, and one at its end.

aiokafka logs every request that fails, several times a second while Kafka is away, and each rebalance as a failed
heartbeat. An accepted heartbeat is the sign that Kafka answers again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from schemas.log_throttle import Outage

log = logging.getLogger(__name__)

_REBALANCES = ("because it is rebalancing",)
"""A failed heartbeat tells each member of a group about a rebalance. It is no outage."""
_CONNECTIONS = ("Sending username and password in the clear",)
"""Logged of every connection with SASL_PLAINTEXT."""


class KafkaLog(logging.Handler):
    """Takes the lines of aiokafka's loggers."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._outage = Outage()
        # Heartbeats and log lines come from the threads of both event loops.
        self._mutex = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Count a failed request, pass on what is no sign of an outage."""
        if record.levelno < logging.WARNING or record.exc_info or _has(record, _CONNECTIONS):
            _pass_on(record)
        elif not _has(record, _REBALANCES):
            self.failed(record.getMessage())

    def failed(self, reason: object) -> None:
        """Count a request that Kafka did not answer; log the first, then fewer and fewer."""
        with self._mutex:
            attempts = self._outage.failed(self._clock())
        if attempts is not None:
            log.warning(
                "Kafka does not answer: %d requests failed in %.0f s, retrying until it does. The last error: %s",
                attempts.failed,
                attempts.seconds,
                reason,
            )

    def succeeded(self) -> None:
        """End the outage: Kafka has answered."""
        with self._mutex:
            attempts = self._outage.succeeded(self._clock())
        if attempts is not None:
            log.info("Kafka answers again: %d requests failed in %.0f s", attempts.failed, attempts.seconds)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Take aiokafka's lines for the block; nothing else does."""
        logger = logging.getLogger("aiokafka")
        propagate, logger.propagate = logger.propagate, False
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.propagate = propagate


def _has(record: logging.LogRecord, texts: Sequence[str]) -> bool:
    return any(text in str(record.msg) for text in texts)


def _pass_on(record: logging.LogRecord) -> None:
    root = logging.getLogger()
    if root.isEnabledFor(record.levelno):
        root.handle(record)
