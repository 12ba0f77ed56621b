"""An HTTP client that sends the items of a ledger as an SDK does: concurrently, with retries until a final status."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import aiohttp

from tests.faults.ledger import Ledger, Outcome

SENDERS = 16
"""Concurrent requests. Enough to keep the rate while some of them wait for a response."""
REQUEST_SECONDS = 20
BATCH_ITEMS = 100
"""Items of a request of `send`."""


class Request(NamedTuple):
    """One request: when it began, by the monotonic clock, its duration, and the status of its response or 0."""

    began: float
    seconds: float
    status: int


class Client:
    """Sends from its own thread while the test injects faults."""

    def __init__(self, gateways: list[str], token: str, ledger: Ledger) -> None:
        self._gateways = gateways
        self._token = token
        self._ledger = ledger
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._stopping = False
        self.statuses: Counter[int] = Counter()
        """Number of responses by status; 0 counts requests without a response."""
        self.requests: list[Request] = []
        """Every request that has ended."""

    def start(self, *, rate: float, items: int | None = None, resend_for_seconds: float = 120.0) -> None:
        """Start sending *rate* items per second, until *items* were sent or `stop` is called.

        A batch is retried for up to *resend_for_seconds*; after that its outcome is unknown.
        """
        self._stopping = False

        def run() -> None:
            try:
                asyncio.run(self._send(self._batches(items), rate, resend_for_seconds))
            except BaseException as error:  # noqa: BLE001  # raised again by `wait`
                self._failure = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def sending(self) -> bool:
        """Whether `start` was called, and `stop` or `wait` not since."""
        return self._thread is not None

    def stop(self) -> None:
        """Generate no more batches; return when each has a final status or was abandoned. May be called twice."""
        self._stopping = True
        self.wait()

    def wait(self) -> None:
        """Return when each batch has a final status or was abandoned."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            raise self._failure

    def send(self, items: list[dict[str, Any]], *, resend_for_seconds: float = 120.0) -> None:
        """Enter *items* in the ledger and send them; return when each batch has a final status or was abandoned."""
        entered = self._ledger.add(items)
        batches = [entered[start : start + BATCH_ITEMS] for start in range(0, len(entered), BATCH_ITEMS)]
        asyncio.run(self._send(iter(batches), rate=1e9, resend_for_seconds=resend_for_seconds))

    def _note(self, began: float, status: int) -> None:
        self.statuses[status] += 1
        self.requests.append(Request(began, time.monotonic() - began, status))

    def _batches(self, items: int | None) -> Iterator[list[dict[str, Any]]]:
        made = 0
        while not self._stopping and (items is None or made < items):
            batch = self._ledger.batch()
            made += len(batch)
            yield batch

    async def _send(self, batches: Iterator[list[dict[str, Any]]], rate: float, resend_for_seconds: float) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        due = time.monotonic()
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:

            async def sender(number: int) -> None:
                nonlocal due
                for batch in batches:
                    # The next batch is due after this one; the schedule restarts if sending falls behind.
                    wait, due = due - time.monotonic(), max(due, time.monotonic()) + len(batch) / rate
                    await self._wait_or_stop(wait)
                    await self._send_until_final(session, number, batch, resend_for_seconds)

            await asyncio.gather(*(sender(number) for number in range(SENDERS)))

    async def _wait_or_stop(self, seconds: float) -> None:
        """Wait for *seconds*, at a low rate half a minute; after a stop, the batches that exist are sent at once."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110  # another thread stops it
            await asyncio.sleep(min(left, 0.2))

    async def _send_until_final(
        self, session: aiohttp.ClientSession, number: int, batch: list[dict[str, Any]], seconds: float
    ) -> None:
        deadline = time.monotonic() + seconds
        attempt = 0
        while time.monotonic() < deadline:
            gateway = self._gateways[(number + attempt) % len(self._gateways)]
            attempt += 1
            began = time.monotonic()
            try:
                async with session.post(f"{gateway}/event/batch", json={"batch": batch}) as response:
                    reply = await response.json()
                    self._note(began, response.status)
                    if response.status in {200, 400}:
                        self._ledger.settle(batch, _outcomes(reply))
                        return
                    assert response.status in {408, 429, 503}, reply
            except (aiohttp.ClientError, TimeoutError):
                self._note(began, 0)
            await asyncio.sleep(min(0.1 * attempt, 1.0))
        self._ledger.settle(batch, {})


def _outcomes(reply: dict[str, Any]) -> dict[int, Outcome]:
    outcomes: dict[str, Outcome] = {"accepted": "acknowledged", "rejected": "rejected"}
    return {item["index"]: outcomes[item["status"]] for item in reply["items"]}
