"""Connecting to Kafka at the start of a worker: bounded retries, a line or two about them, one sentence at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from processors.engine.aiokafka_patches import connection_errors
from processors.engine.errors import KafkaUnavailableError
from schemas.log_throttle import Outage

START_SECONDS = 30.0
"""How long a worker waits for Kafka."""

log = logging.getLogger(__name__)


async def connect(attempt: Callable[[], Awaitable[None]], servers: str) -> None:
    """Await *attempt* until Kafka answers; `KafkaUnavailableError` after `START_SECONDS`."""
    outage = Outage()

    def log_retry(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        # What aiokafka has logged says more than its error.
        reason = reasons[-1] if reasons else str(error)
        reasons.clear()
        if (attempts := outage.failed(monotonic())) is None:
            return
        if attempts.failed == 1 and isinstance(error, GroupCoordinatorNotAvailableError):
            # A new cluster creates the topic of the committed offsets at the first request for it.
            log.info("Kafka at %s has no group coordinator yet, retrying for %.0f s", servers, START_SECONDS)
        else:
            log.warning(
                "Kafka at %s does not answer: %d attempts failed in %.0f s, retrying for %.0f s: %s",
                *(servers, attempts.failed, attempts.seconds, START_SECONDS, reason),
            )

    retrying = AsyncRetrying(
        retry=retry_if_exception(_is_unavailable),
        wait=wait_exponential(multiplier=0.5, max=5.0),
        before_sleep=log_retry,
        reraise=True,
    )
    with connection_errors() as reasons:
        try:
            # Bounds a single attempt as well: aiokafka waits 40 s for each broker address that never answers.
            async with asyncio.timeout(START_SECONDS):
                await retrying(attempt)
            if (attempts := outage.succeeded(monotonic())) is not None:
                log.info(
                    "Kafka at %s answers: %d attempts failed in %.0f s", servers, attempts.failed, attempts.seconds
                )
        except Exception as error:
            if not _is_unavailable(error):
                raise
            raise KafkaUnavailableError(
                f"Kafka at {servers} did not answer for {START_SECONDS:.0f} s. Check that it runs and that "
                f"SEQUENCE_KAFKA_SERVERS and the other SEQUENCE_KAFKA_* settings are right."
            ) from error


def _is_unavailable(error: BaseException) -> bool:
    return isinstance(error, OSError | TimeoutError) or (isinstance(error, KafkaError) and error.retriable)
