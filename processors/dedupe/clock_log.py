"""The log lines about clocks: which one is wrong, and by how much."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from processors.dedupe.clocks import Disagreement, wrong_clock
from processors.engine.window_clock import TOLERANCE_MS
from schemas.log_throttle import Throttle

log = logging.getLogger(__name__)


class ClockLog:
    """Logs wrong clocks, each at once and then fewer and fewer."""

    def __init__(self) -> None:
        self._throttles: defaultdict[str, Throttle] = defaultdict(Throttle)
        self._items: Counter[str] = Counter()

    def add(self, disagreements: Sequence[Disagreement], broker_ms: int, now_ms: int) -> None:
        """Log whose clock is wrong; *broker_ms* is the broker's time of the last item, *now_ms* this worker's clock."""
        for disagreement in disagreements:
            self._items[wrong_clock(disagreement, now_ms)] += 1
        if disagreements:
            self._log_disagreement(disagreements[-1], now_ms)
        elif now_ms < broker_ms - TOLERANCE_MS and self._throttles["this worker"].take(monotonic()):
            log.warning(
                "the clock of this worker is %s behind that of the broker. Rejections and logs have wrong times. "
                "Synchronise the clock of this host",
                _duration(broker_ms - now_ms),
            )

    def _log_disagreement(self, last: Disagreement, now_ms: int) -> None:
        culprit = wrong_clock(last, now_ms)
        if not self._throttles[culprit].take(monotonic()):
            return
        log.warning(
            "the clock of %s is wrong: for %d items the broker's time and `receivedAt` of the gateway differ by more "
            "than an hour. Of the last one: broker %s, gateway %s, this worker %s. The dedupe window moves only as far "
            "as both say. Synchronise the clocks",
            *(culprit, self._items.pop(culprit)),
            *(_text(each) for each in (last.broker_ms, last.gateway_ms, now_ms)),
        )


def _duration(ms: int) -> str:
    return str(timedelta(seconds=ms // 1000))


def _text(ms: int | None) -> str:
    """Return a time as text; whatever a broken clock says must not raise."""
    if ms is None:
        return "none"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(ms)
