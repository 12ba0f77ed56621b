"""The one way a worker ends on an error: at once, with a clear line and a code that is not zero.

Faust would acknowledge what was in hand and restart the agent at the next event, which loses the one that failed; so
no handler of its shutdown gets a chance to run.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import NoReturn

from processors.engine.errors import RefusedStartError

FAILED = 70
"""Exit code: something unexpected; starting again recovers."""
REFUSED = 78
"""Exit code: starting again will say the same until a person has acted."""

log = logging.getLogger(__name__)


def fail_fast(error: BaseException) -> NoReturn:
    """End this process because of *error*."""
    if isinstance(error, RefusedStartError):
        log.critical("refusing to run: %s", error)
    else:
        log.critical("ending the process: %s: %s", type(error).__name__, error, exc_info=error)
    logging.shutdown()
    os._exit(REFUSED if isinstance(error, RefusedStartError) else FAILED)


def exit_after(seconds: float, code: int) -> None:
    """End this process with *code* after *seconds* if it is still there; what is in work is done again later."""

    def end() -> None:
        log.warning("ending now: not done after %.0f s; what is in work is done again at the next start", seconds)
        logging.shutdown()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
