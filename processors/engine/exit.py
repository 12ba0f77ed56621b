"""How a worker exits on an error: at once, with one clear line and a code that says whether a restart helps.

| code | `os` constant | meaning |
|---|---|---|
| 0 | `EX_OK` | stopped by SIGTERM or SIGINT |
| 70 | `EX_SOFTWARE` | Kafka or the local state was unavailable, or a fatal error; a restart retries and recovers |
| 78 | `EX_CONFIG` | continuing would lose or double events, or Kafka denies it; a person must act before a restart |

`os._exit` skips every shutdown handler on purpose: Faust's would acknowledge the batch that failed, which loses it.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import NoReturn

from processors.engine.errors import (
    KafkaUnavailableError,
    LocalStateUnavailableError,
    PermissionDeniedError,
    RefusedStartError,
)
from schemas.denials import denial

log = logging.getLogger(__name__)


def exit_code(error: BaseException) -> int:
    """Return the exit code for *error*."""
    return os.EX_CONFIG if isinstance(error, RefusedStartError) else os.EX_SOFTWARE


def fail_fast(error: BaseException) -> NoReturn:
    """Exit this process because of *error*, with a traceback if the error is unexpected."""
    if (denied := denial(error)) is not None:
        error = PermissionDeniedError(denied)
    code = exit_code(error)
    if isinstance(error, RefusedStartError):
        log.critical("cannot continue, exiting with code %d (a person must act): %s", code, error)
    elif isinstance(error, KafkaUnavailableError):
        log.critical("cannot start, exiting with code %d (a restart retries): %s", code, error)
    elif isinstance(error, LocalStateUnavailableError):
        log.critical("local state is unavailable, exiting with code %d (a restart retries): %s", code, error)
    else:
        kind = type(error).__name__
        log.critical(
            "fatal error, exiting with code %d (a restart recovers): %s: %s", code, kind, error, exc_info=error
        )
    logging.shutdown()
    os._exit(code)


def exit_after(seconds: float, code: int) -> None:
    """Exit this process with *code* if it still runs after *seconds*."""

    def give_up() -> None:
        log.warning("shutdown timed out after %.0f s; uncommitted work will be reprocessed", seconds)
        logging.shutdown()
        os._exit(code)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
