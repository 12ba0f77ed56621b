"""`sequence doctor --probe`: sends one ordinary event, follows it to its row, and times each stage by one clock."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp
import msgspec
from aiokafka.errors import KafkaError

from deploy.errors import OperateError
from deploy.operate import kafka_reader
from deploy.operate.kafka_reader import KafkaReader, Key
from deploy.operate.servers import Servers
from gateway.projects.admin import read_table
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from schemas.addresses import http_url, is_loopback
from schemas.projects import digest
from schemas.records import item_key, partition_for
from schemas.topics import Topics

EVENT = "Sequence Probe"
USER = "sequence-probe"
ITEMS, EVENTS = "on items.v1", "on events.v1"
STAGES = ("accepted", ITEMS, EVENTS, "row visible")
_POLL_SECONDS = 0.02
_BODY_CHARACTERS = 300


class Timed(msgspec.Struct, kw_only=True, rename="camel"):
    """A stage that the event has reached."""

    stage: str
    seconds: float
    """Since the request was sent."""
    about: str
    """Where it is."""


class Probe(msgspec.Struct, kw_only=True, rename="camel"):
    """The answer: the JSON of `sequence doctor --probe --json`."""

    project_id: str
    message_id: str
    stages: list[Timed]
    """In the order in which they were reached."""
    missing: list[str]
    """Stages that were not reached in time."""


@dataclass(frozen=True, slots=True)
class Sender:
    """How the event is sent."""

    gateway: str
    """Address, such as `http://127.0.0.1:8080`."""
    token: str
    timeout_seconds: float


def probe(servers: Servers, sender: Sender, project_id: str | None) -> Probe:
    """Send one event and return when it reached each stage.

    Raises `OperateError` if the token is none of *project_id*, if the gateway does not accept the event, and if a
    server does not answer.
    """
    return asyncio.run(_probe(servers, sender, project_id))


async def _probe(servers: Servers, sender: Sender, project_id: str | None) -> Probe:
    try:
        async with kafka_reader.connected(servers.kafka) as reader:
            project = await _project(servers, sender.token, project_id)
            return await _Run(servers, sender, project, reader).run()
    except (KafkaError, OSError) as error:
        raise OperateError(servers.kafka_fault(error)) from error
    except ClickHouseError as error:
        raise OperateError(servers.clickhouse_fault(error)) from error


async def _project(servers: Servers, token: str, project_id: str | None) -> str:
    """Return the project of *token*."""
    known = (await read_table(servers.kafka)).tokens.get(digest(token))
    if known is None:
        raise OperateError("The token of the probe is unknown. Create one with `sequence token create PROJECT`.")
    if project_id not in {None, known.project_id}:
        raise OperateError(f"The token of the probe is one of project {known.project_id}, not of {project_id}.")
    return known.project_id


class _Run:
    """One event on its way."""

    def __init__(self, servers: Servers, sender: Sender, project_id: str, reader: KafkaReader) -> None:
        self._servers = servers
        self._sender = sender
        self._project = project_id
        self._reader = reader
        self._topics = Topics(servers.kafka.topic_prefix)
        self._probe = Probe(project_id=project_id, message_id=f"probe-{secrets.token_hex(8)}", stages=[], missing=[])
        self._began = 0.0

    async def run(self) -> Probe:
        key = item_key(self._project, self._probe.message_id)
        counts = await self._reader.topics()
        if missing := sorted({self._topics.items, self._topics.events} - counts.keys()):
            raise OperateError(f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`.")
        partition = partition_for(key, len(counts[self._topics.items]))
        places = [(topic, partition) for topic in (self._topics.items, self._topics.events)]
        starts = {place: end for place, (_, end) in (await self._reader.bounds(places)).items()}
        with self._servers.tables() as clickhouse:
            # The first query connects, which is no part of what is timed.
            await asyncio.to_thread(self._row, clickhouse)
            self._began = monotonic()
            following = asyncio.create_task(self._follow(starts, key))
            try:
                await self._send()
                await following
            finally:
                following.cancel()
            if EVENTS in {each.stage for each in self._probe.stages}:
                await self._await_row(clickhouse)
        reached = {each.stage for each in self._probe.stages}
        self._probe.missing = [stage for stage in STAGES if stage not in reached]
        self._probe.stages = in_order(self._probe.stages)
        return self._probe

    @property
    def _deadline(self) -> float:
        return self._began + self._sender.timeout_seconds

    def _reached(self, stage: str, about: str) -> None:
        self._probe.stages.append(Timed(stage=stage, seconds=round(monotonic() - self._began, 4), about=about))

    async def _send(self) -> None:
        url = f"{self._sender.gateway.rstrip('/')}/event/batch"
        event = {
            "type": "track",
            "userId": USER,
            "event": EVENT,
            "messageId": self._probe.message_id,
            "properties": {"sentBy": "sequence doctor --probe"},
        }
        timeout = aiohttp.ClientTimeout(total=self._sender.timeout_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    url,
                    json={"batch": [event]},
                    headers={"Authorization": f"Bearer {self._sender.token}"},
                    # The certificate names the public host.
                    ssl=not is_loopback(http_url(url).host),
                ) as response,
            ):
                text = await response.text(errors="replace")
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            code = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
            reason = os.strerror(code) if code else str(error) or type(error).__name__
            raise OperateError(
                f"The gateway at {self._sender.gateway} does not answer: {reason}. Check --gateway, and run "
                "`sequence status`."
            ) from error
        if response.status != 200 or not _is_accepted(text):
            raise OperateError(
                f"The gateway at {self._sender.gateway} did not accept the event. It answered {response.status}: "
                f"{text.strip()[:_BODY_CHARACTERS]}"
            )
        self._reached("accepted", f"{response.status} from {self._sender.gateway}")

    async def _follow(self, starts: dict[Key, int], key: bytes) -> None:
        """Wait for the records of *key* on both topics."""
        waiting = set(starts)
        async for record in self._reader.follow(starts, self._deadline):
            place = record.topic, record.partition
            if record.key == key and place in waiting:
                name = record.topic.removeprefix(f"{self._topics.prefix}.")
                self._reached(f"on {name}", f"partition {record.partition}, offset {record.offset}")
                waiting.discard(place)
                if not waiting:
                    return

    async def _await_row(self, clickhouse: ClickHouse) -> None:
        while monotonic() < self._deadline:
            if await asyncio.to_thread(self._row, clickhouse):
                self._reached("row visible", "table events")
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _row(self, clickhouse: ClickHouse) -> list[dict[str, Any]]:
        """Return the row, if there is one: a search by the primary key."""
        return clickhouse.query(
            "SELECT 1 FROM events WHERE project_id = {project:String} AND event = {event:String}"
            " AND toDate(timestamp) >= toDate({since:UInt32}) AND user_id = {user:String}"
            " AND message_id = {message:String}",
            {
                "project": self._project,
                "event": EVENT,
                "since": int(time.time()) - 86_400,
                "user": USER,
                "message": self._probe.message_id,
            },
        )


def in_order(stages: list[Timed]) -> list[Timed]:
    """Return *stages* as they were reached: `items.v1` before `events.v1`, whichever is read first."""
    seconds = {each.stage: each.seconds for each in stages}
    if ITEMS in seconds and EVENTS in seconds:
        seconds[ITEMS] = min(seconds[ITEMS], seconds[EVENTS])
    timed = [Timed(stage=each.stage, seconds=seconds[each.stage], about=each.about) for each in stages]
    return sorted(timed, key=lambda each: (each.seconds, STAGES.index(each.stage)))


def _is_accepted(text: str) -> bool:
    try:
        return bool(msgspec.json.decode(text, type=dict[str, Any])["accepted"] == 1)
    except (msgspec.DecodeError, KeyError):
        return False
