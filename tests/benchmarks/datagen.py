"""Generates items, request bodies and records of about 250 bytes, in the form that the gateway writes."""

from __future__ import annotations

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random

import msgspec

from processors.engine.producer import ChangelogProducer, Output
from schemas.records import event_headers, identify_headers, partitions_for, person_key
from schemas.times import format_time
from tests.benchmarks.cluster import PARTITIONS

PROJECT = "bench"
_RECEIVED_AT = format_time(time.time_ns() // 1000).encode()
"""Now, as a gateway writes it: the clocks of gateway and broker agree."""
_TIMES = b'"timestamp":"2026-01-31T12:00:00.000000Z","receivedAt":"%s"' % _RECEIVED_AT


class ItemGenerator:
    """Generates items whose messageIds are unique to this generator, with a chosen share of duplicates."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6)
        self._made = 0
        self._chance = Random(7)  # reproducible load, not a secret

    def tracks(self, number: int, *, duplicates: float = 0.0) -> list[Output]:
        """Return *number* track records; the share *duplicates* repeats an earlier one."""
        made: list[Output] = []
        for _ in range(number):
            if made and self._chance.random() < duplicates:
                made.append(made[self._chance.randrange(len(made))])
            else:
                made.append(self._track(self._next()))
        return made

    def identifies(self, number: int, users: Sequence[str] = ()) -> list[Output]:
        """Return *number* records of `identifies.v1`, for *users* in rotation or each for a new user."""
        made = []
        for _ in range(number):
            serial = self._next()
            user = users[serial % len(users)] if users else f"{self._prefix}-{serial}"
            made.append(self._identify(serial, user))
        return made

    @property
    def made(self) -> int:
        """Number of distinct items generated so far."""
        return self._made

    def users(self, number: int) -> list[str]:
        """Return *number* user IDs that are unique to this generator."""
        return [f"{self._prefix}-known-{serial}" for serial in range(number)]

    def bodies(self, number: int, items: int, *, duplicates: float = 0.0, identifies: float = 0.0) -> list[bytes]:
        """Return *number* request bodies of *items* items each."""
        bodies = []
        known: list[dict[str, object]] = []
        for _ in range(number):
            batch = []
            for _ in range(items):
                if known and self._chance.random() < duplicates:
                    batch.append(known[self._chance.randrange(len(known))])
                else:
                    batch.append(self._item(identify=self._chance.random() < identifies))
                    known.append(batch[-1])
            del known[:-10_000]
            bodies.append(json.dumps({"batch": batch}, separators=(",", ":")).encode())
        return bodies

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _item(self, *, identify: bool) -> dict[str, object]:
        serial = self._next()
        item = {"messageId": f"{self._prefix}-{serial:012d}", "userId": f"user-{serial % 50_000}"}
        if identify:
            return {"type": "identify", **item, "traits": {"plan": "pro", "age": serial % 90, "city": "Lima"}}
        properties = {"price": serial % 1000 / 10, "currency": "EUR", "sku": f"sku-{serial % 997}", "first": False}
        return {"type": "track", **item, "event": f"Event {serial % 20}", "properties": properties}

    def _track(self, serial: int) -> Output:
        message_id = b"%s-%012d" % (self._prefix.encode(), serial)
        value = (
            b'{"type":"track","projectId":"bench","messageId":"%s","userId":"user-%d",%s,"event":"Event %d",'
            b'"properties":{"price":%d.5,"currency":"EUR","sku":"sku-%d","first":false}}'
            % (message_id, serial % 50_000, _TIMES, serial % 20, serial % 1000, serial % 997)
        )
        return Output(b"bench/" + message_id, value)

    def _identify(self, serial: int, user: str) -> Output:
        message_id = b"%s-%012d" % (self._prefix.encode(), serial)
        value = (
            b'{"type":"identify","projectId":"bench","messageId":"%s","userId":"%s",'
            b'"timestamp":"2026-01-31T12:%02d:%02d.%06dZ","receivedAt":"%s",'
            b'"traits":{"plan":"pro","age":%d,"city":"Lima","score":%d,"email":"somebody@example.org"}}'
            % (
                message_id,
                user.encode(),
                serial // 60 % 60,
                serial % 60,
                serial % 1_000_000,
                _RECEIVED_AT,
                serial % 90,
                serial,
            )
        )
        return Output(person_key(PROJECT, user), value, identify_headers(message_id, serial, 0))


def distinct(outputs: Iterable[Output]) -> int:
    """Return the number of distinct keys in *outputs*."""
    return len({output.key for output in outputs})


async def load(
    log: ChangelogProducer, topic: str, outputs: Sequence[Output], origins: dict[int, int] | None = None
) -> None:
    """Write *outputs* to *topic* by key.

    With *origins*, records get headers as dedupe writes them, with source offsets that continue from *origins*.
    """
    runs: dict[int, list[Output]] = defaultdict(list)
    for output, partition in zip(outputs, partitions_for([output.key for output in outputs], PARTITIONS), strict=True):
        if origins is not None:
            origin = origins[partition] = origins.get(partition, -1) + 1
            headers = event_headers(output.key.partition(b"/")[2], origin)
            output = msgspec.structs.replace(output, headers=headers)  # noqa: PLW2901
        runs[partition].append(output)
    for partition, run in runs.items():
        await log.append(topic, partition, run)
