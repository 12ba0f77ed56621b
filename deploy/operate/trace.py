"""`sequence trace`: where every item with a messageId is, from the tables and the topics.

Tables and topics are asked at the same time. Either may be unavailable: the answer says so and has the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from aiokafka.errors import KafkaError

from deploy.errors import OperateError
from deploy.operate import kafka_reader, trace_records, trace_tables
from deploy.operate.servers import Servers
from deploy.operate.trace_log import TraceLog
from deploy.operate.trace_records import Records
from deploy.operate.trace_result import Facts, Looked, Occurrence, Token, Trace, is_settled
from deploy.operate.trace_tables import Rows
from gateway.errors import GatewayError
from gateway.projects.admin import read_table
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.sink.logs import LogIdentity
from processors.sink.logs import find as find_log
from schemas.project_table import ProjectTable
from schemas.times import parse_time
from schemas.topics import VERSION, Topics

T = TypeVar("T")

READ_SECONDS = 6.0
"""How long records are read by default."""
_TABLES_SECONDS = 3.0
"""How long rows are awaited once the unprocessed records are read."""


@dataclass(slots=True)
class _Known:
    """What the servers have answered."""

    rows: Rows | None = None
    records: Records | None = None
    projects: ProjectTable | None = None
    identity: LogIdentity | None = None
    looked: list[Looked] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def trace(
    servers: Servers, message_id: str, project_id: str | None = None, *, read_seconds: float = READ_SECONDS
) -> Trace:
    """Return what `find` returns, outside an event loop."""
    return asyncio.run(find(servers, message_id, project_id, read_seconds=read_seconds))


async def find(
    servers: Servers, message_id: str, project_id: str | None = None, *, read_seconds: float = READ_SECONDS
) -> Trace:
    """Return every occurrence of *message_id*; records are read for at most *read_seconds*.

    Raises `OperateError` if neither Kafka nor ClickHouse answers, and for an unknown project.
    """
    known = _Known()
    reading_rows = asyncio.create_task(_read_rows(servers, message_id, project_id))
    try:
        await _ask_kafka(servers, known, (message_id, project_id), reading_rows, read_seconds)
    except (KafkaError, OperateError, GatewayError, OSError) as error:
        known.notes.append(f"The topics were not searched. {servers.kafka_fault(error)}")
        known.rows = await _rows_or_note(servers, reading_rows, known)
    if known.rows is None and known.records is None:
        raise OperateError(" ".join(known.notes))
    if known.projects is not None and project_id is not None and project_id not in known.projects.projects:
        raise OperateError(f"There is no project {project_id}. `sequence project list` shows all.")
    occurrences = _occurrences(known)
    await _explain_missing(servers, occurrences, known)
    return Trace(
        message_id=message_id,
        project_id=project_id,
        occurrences=occurrences,
        tables=[] if known.rows is None else known.rows.tables,
        topics=known.looked,
        notes=known.notes,
    )


async def _ask_kafka(
    servers: Servers,
    known: _Known,
    question: tuple[str, str | None],
    reading_rows: asyncio.Task[Rows],
    read_seconds: float,
) -> None:
    message_id, project_id = question
    topics = Topics(servers.kafka.topic_prefix)
    async with kafka_reader.connected(servers.kafka) as reader:
        reading_projects = asyncio.create_task(read_table(servers.kafka))
        try:
            counts = {name: len(partitions) for name, partitions in (await reader.topics()).items()}
            _require(topics, counts)
            cluster, _ = await reader.cluster()
            known.projects = await reading_projects
        finally:
            reading_projects.cancel()
        known.identity = LogIdentity(cluster, topics.prefix, VERSION, counts[topics.items])
        projects = [project_id] if project_id is not None else sorted(known.projects.projects)
        records = Records(message_id, projects, time.time())
        log = TraceLog(reader, topics, records, read_seconds)
        await log.open(counts)
        await log.read_unprocessed()
        known.records = records
        known.rows = await _rows_or_note(servers, reading_rows, known)
        found = _occurrences(known)
        if not found or not is_settled(found):
            if known.rows is not None:
                # A row may have been written since: what the sink had committed is in the tables now.
                again = asyncio.create_task(_read_rows(servers, message_id, project_id))
                known.rows = await _rows_or_note(servers, again, known) or known.rows
                found = _occurrences(known)
            if not found or known.rows is None:
                await log.read_back()
                found = _occurrences(known)
        await log.read_identifies({(each.project_id, each.user_id) for each in found if each.type == "identify"})
        known.looked = await log.looked()


def _require(topics: Topics, counts: dict[str, int]) -> None:
    needed = (topics.items, topics.events, topics.duplicates, topics.identifies, topics.rejected)
    if missing := [name for name in needed if name not in counts]:
        raise OperateError(f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`.")


async def _read_rows(servers: Servers, message_id: str, project_id: str | None) -> Rows:
    return await _ask_tables(servers, lambda clickhouse: trace_tables.read_rows(clickhouse, message_id, project_id))


async def _ask_tables(servers: Servers, ask: Callable[[ClickHouse], T]) -> T:
    def connected() -> T:
        with servers.tables() as clickhouse:
            return ask(clickhouse)

    return await asyncio.to_thread(connected)


async def _rows_or_note(servers: Servers, reading: asyncio.Task[Rows], known: _Known) -> Rows | None:
    try:
        return await asyncio.wait_for(reading, _TABLES_SECONDS)
    except TimeoutError:
        reason = f"ClickHouse did not answer within {_TABLES_SECONDS:g} s. Run `sequence status`."
    except ClickHouseError as error:
        reason = servers.clickhouse_fault(error)
    known.notes.append(f"The tables were not searched. {reason}")
    return None


async def _explain_missing(servers: Servers, occurrences: Sequence[Occurrence], known: _Known) -> None:
    """Say which of the missing rows were removed on purpose."""
    missing = [each for each in occurrences if each.row == "missing" and each.log is not None]
    if not missing:
        return
    reading = _ask_tables(servers, lambda clickhouse: trace_tables.read_removals(clickhouse, missing))
    try:
        removals = await asyncio.wait_for(reading, _TABLES_SECONDS)
    except (ClickHouseError, TimeoutError):
        known.notes.append("Whether the missing rows were removed on purpose is not known: ClickHouse did not answer.")
    else:
        trace_tables.add_removals(missing, removals)


def _occurrences(known: _Known) -> list[Occurrence]:
    """Return what is known by now."""
    logs = () if known.rows is None else known.rows.logs
    facts = Facts(None if known.identity is None else find_log(logs, known.identity))
    if known.rows is not None:
        trace_tables.add_rows(facts, known.rows)
    if known.records is not None:
        trace_records.add_records(facts, known.records)
    if known.rows is not None:
        trace_tables.add_rejections(facts, known.rows)
    if known.records is not None:
        trace_records.add_rejections(facts, known.records)
        trace_records.add_persons(facts.occurrences(), known.records)
    facts.name_first()
    found = facts.occurrences()
    if known.rows is None:
        for each in found:
            # What no table has cannot be missing in one that was not searched.
            each.row = "unknown" if each.row == "missing" else each.row
    if known.projects is not None:
        _name_tokens(found, known.projects)
    return found


def _name_tokens(occurrences: Iterable[Occurrence], projects: ProjectTable) -> None:
    """Name the token that each item was sent with, or those that it may have been sent with."""
    hints = {token.id: token.hint for token in projects.tokens.values()}
    for each in occurrences:
        if each.token_id:
            each.possible_tokens = (Token(id=each.token_id, hint=hints.get(each.token_id, "")),)
        else:
            each.possible_tokens = _tokens(projects, each.project_id, parse_time(each.received_at))


def _tokens(projects: ProjectTable, project_id: str, received: int) -> tuple[Token, ...]:
    valid: Sequence[Token] = [
        Token(id=token.id, hint=token.hint)
        for token in projects.tokens.values()
        if token.project_id == project_id
        and token.scope == "write"
        # Gateways apply a change within a second.
        and token.created_at <= received
        and (token.revoked_at is None or received < token.revoked_at + _APPLIED_MICROS)
        and (token.expires_at is None or received < token.expires_at)
    ]
    return tuple(sorted(valid, key=lambda token: token.id))


_APPLIED_MICROS = 1_000_000
