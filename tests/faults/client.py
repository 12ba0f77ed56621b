"""A client that sends from a ledger as an SDK does: several requests at once, again and again until it is answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp

from tests.faults.ledger import Ledger, Outcome

SENDERS = 6
REQUEST_SECONDS = 20


class Client:
    """Sends in a thread of its own while the test does harm."""

    def __init__(self, gateways: list[str], token: str, ledger: Ledger) -> None:
        self._gateways = gateways
        self._token = token
        self._ledger = ledger
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.resent = 0

    def send(self, items: int, *, rate: float = 0.0, resend_for_seconds: float = 120.0) -> None:
        """Begin to send *items* items, *rate* a second (0: as fast as it goes), and go on until all are answered."""

        def run() -> None:
            try:
                asyncio.run(self._send(self._ledger.batches(items), rate, resend_for_seconds))
            except BaseException as error:  # noqa: BLE001  # told to whoever waits
                self._failure = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def sending(self) -> bool:
        """Whether there is something left to send."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Return when everything is answered or given up."""
        assert self._thread is not None
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def while_sending(self, harm: Callable[[], None], *, times: int, pause_seconds: float) -> int:
        """Call *harm* up to *times* times with *pause_seconds* between while sending; return how often it was."""
        done = 0
        while done < times and self.sending:
            harm()
            done += 1
            deadline = time.monotonic() + pause_seconds
            while self.sending and time.monotonic() < deadline:
                threading.Event().wait(0.05)
        return done

    async def _send(self, batches: Iterator[list[dict[str, Any]]], rate: float, resend_for_seconds: float) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        started = time.monotonic()
        sent = 0
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:

            async def sender(number: int) -> None:
                nonlocal sent
                for batch in batches:
                    sent += len(batch)
                    if rate and (early := started + sent / rate - time.monotonic()) > 0:
                        await asyncio.sleep(early)
                    await self._until_answered(session, number, batch, resend_for_seconds)

            await asyncio.gather(*(sender(number) for number in range(SENDERS)))

    async def _until_answered(
        self, session: aiohttp.ClientSession, number: int, batch: list[dict[str, Any]], seconds: float
    ) -> None:
        deadline = time.monotonic() + seconds
        attempt = 0
        while time.monotonic() < deadline:
            gateway = self._gateways[(number + attempt) % len(self._gateways)]
            attempt += 1
            try:
                async with session.post(f"{gateway}/event/batch", json={"batch": batch}) as response:
                    answer = await response.json()
                    if response.status in {200, 400}:
                        self._ledger.settle(batch, _outcomes(answer))
                        return
                    assert response.status in {408, 429, 503}, answer
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.resent += 1
            await asyncio.sleep(min(0.1 * attempt, 1.0))
        self._ledger.settle(batch, {})


def _outcomes(answer: dict[str, Any]) -> dict[int, Outcome]:
    outcomes: dict[str, Outcome] = {"accepted": "acknowledged", "rejected": "refused"}
    return {item["index"]: outcomes[item["status"]] for item in answer["items"]}
