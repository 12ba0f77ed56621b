"""Sends batches of items to a gateway.

A request that was not answered is repeated: dedupe drops what is there already.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import msgspec

from deploy.errors import OperateError, RefusedRequestError
from schemas.addresses import http_url, is_loopback

TRIES = 6
REQUEST_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
_RETRIED = (429, 503)
_BODY_CHARACTERS = 300


class Verdict(msgspec.Struct, rename="camel"):
    """What the gateway says about an item of a batch."""

    status: str
    index: int = 0
    code: str = ""
    message: str = ""
    field: str | None = None


class _Reply(msgspec.Struct):
    items: list[Verdict]


class _Error(msgspec.Struct):
    message: str = ""


_read = msgspec.json.Decoder(_Reply).decode
_read_error = msgspec.json.Decoder(_Error).decode


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends to the gateway at `gateway`, such as `http://127.0.0.1:8080`, with `token`."""

    gateway: str
    token: str

    def send(self, items: Sequence[bytes]) -> list[Verdict]:
        """Return the verdict on each of *items*, once Kafka has the accepted ones.

        Raises `OperateError` if the gateway does not answer, and `RefusedRequestError` if it refuses the request.
        """
        return asyncio.run(self._send(b'{"batch":[%s]}' % b",".join(items)))

    async def _send(self, body: bytes) -> list[Verdict]:
        pause = 1.0
        for remaining in reversed(range(TRIES)):
            try:
                status, text, retry_after = await self._post(body)
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                if remaining and not isinstance(error, aiohttp.ClientConnectorError | ValueError):
                    await asyncio.sleep(pause)
                    continue
                code = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
                reason = os.strerror(code) if code else str(error) or type(error).__name__
                raise OperateError(
                    f"The gateway at {self.gateway} does not answer: {reason}. Check --gateway, and run "
                    "`sequence status`."
                ) from error
            if status in _RETRIED and remaining:
                await asyncio.sleep(min(max(pause, retry_after), _LONGEST_PAUSE_SECONDS))
                pause *= 2
                continue
            return self._verdicts(status, text)
        raise AssertionError

    async def _post(self, body: bytes) -> tuple[int, bytes, float]:
        url = f"{self.gateway.rstrip('/')}/event/batch"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        # The certificate names the public host.
        tls = not is_loopback(http_url(url).host)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers, ssl=tls) as response,
        ):
            seconds = response.headers.get("Retry-After", "")
            return response.status, await response.read(), float(seconds) if seconds.isdigit() else 0.0

    def _verdicts(self, status: int, text: bytes) -> list[Verdict]:
        """Return the verdicts of a reply; a request whose items are all rejected is answered with 400 as well."""
        try:
            return _read(text).items
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            reason = _read_error(text).message
        except (msgspec.DecodeError, UnicodeDecodeError):
            reason = text.decode("utf-8", "replace").strip()
        message = f"The gateway at {self.gateway} answered {status}: {reason[:_BODY_CHARACTERS]}"
        raise RefusedRequestError(message, status)
