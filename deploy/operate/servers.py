"""Which Kafka and ClickHouse a command works on: a server's, or those of the local stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aiokafka.errors import KafkaConnectionError, KafkaError

from deploy import sql
from deploy.errors import OperateError
from deploy.operate.offsets import NoAnswerError
from deploy.operate.server_faults import CHECK_CLICKHOUSE, CHECK_KAFKA, clickhouse_fault, kafka_fault, local_advice
from deploy.settings import LocalSettings, load_kafka, local_kafka
from processors.clickhouse.client import ANSWER_SECONDS, ClickHouse
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from schemas.denials import denial
from schemas.settings import ClickHouseSettings, KafkaSettings, load, load_both

_URL = "SEQUENCE_CLICKHOUSE_URL"
_SERVER = frozenset({_URL, "SEQUENCE_CLICKHOUSE_CLUSTER"})
"""Variables that the local stack's own ClickHouse does not follow."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Servers:
    """Kafka and ClickHouse, with the login that may write."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    is_local: bool
    """Whether they belong to a running `sequence up`."""

    @contextmanager
    def tables(self, *, database: str | None = None, answer_seconds: float = ANSWER_SECONDS) -> Iterator[ClickHouse]:
        """Connect to ClickHouse for the block, with errors that are `named`; *database* is that of the tables."""
        connection = ClickHouse(self.clickhouse, database=database, answer_seconds=answer_seconds)
        try:
            with self.named():
                yield connection
        finally:
            connection.close()

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let an `UnavailableError` of the block say which server does not answer."""
        try:
            yield
        except UnavailableError as error:
            if error.code is not None:
                raise
            raise type(error)(self.clickhouse_fault(error)) from error

    def clickhouse_fault(self, error: ClickHouseError) -> str:
        """Return what *error*, of a statement, means, and what to do if ClickHouse does not answer."""
        advice = local_advice("clickhouse") if self.is_local else CHECK_CLICKHOUSE
        return clickhouse_fault(self.clickhouse, error, advice)

    def kafka_fault(self, error: Exception) -> str:
        """Return what *error*, of a request to Kafka, means, and what to do if Kafka does not answer."""
        return kafka_fault(self.kafka, error, local_advice("kafka") if self.is_local else CHECK_KAFKA)

    def refuse_cluster(self, command: str) -> None:
        """Raise `OperateError` if the tables are replicated, which *command* does not support."""
        if self.clickhouse.cluster:
            raise OperateError(
                f"`{command}` does not support replicated tables: SEQUENCE_CLICKHOUSE_CLUSTER is "
                f"{self.clickhouse.cluster}. Nothing was changed. docs/replicas.md says what to do instead."
            )

    def ask_kafka(self, work: Callable[[KafkaSettings], Coroutine[Any, Any, _T]]) -> _T:
        """Return the result of *work*; raises `OperateError` if Kafka does not answer or denies something."""
        try:
            return asyncio.run(work(self.kafka))
        except (KafkaConnectionError, NoAnswerError) as error:
            raise OperateError(self.kafka_fault(error)) from error
        except KafkaError as error:
            raise OperateError(denial(error, "READ") or f"Kafka failed a request: {error}") from error


def find(environ: Mapping[str, str]) -> Servers:
    """Return the servers of *environ* if SEQUENCE_CLICKHOUSE_URL is set, otherwise those of the local stack.

    Raises `SettingsError`, and `SqlError` if the local stack does not run.
    """
    if environ.get(_URL):
        clickhouse, kafka = load_both(ClickHouseSettings, KafkaSettings, environ)
        return Servers(kafka, clickhouse, is_local=False)
    others = {name: value for name, value in environ.items() if name != _URL}
    target = sql.choose_target(others, write=True)
    local, kafka = load_both(LocalSettings, KafkaSettings, others)
    return Servers(
        replace(kafka, bootstrap_servers=local_kafka(local)),
        ClickHouseSettings(target.url.rstrip("/"), target.user, target.password, database=load_database(others)),
        is_local=True,
    )


def find_reading(environ: Mapping[str, str]) -> Servers:
    """Return the servers of `find`, with the login `analyst`, who can only read; raises as `find` does."""
    is_local = not environ.get(_URL)
    target = sql.choose_target(environ, write=False)
    clickhouse = replace(
        load(ClickHouseSettings, {name: text for name, text in environ.items() if not (is_local and name in _SERVER)}),
        url=target.url.rstrip("/"),
        username=target.user,
        password=target.password,
    )
    return Servers(load_kafka(environ), clickhouse, is_local=is_local)


def load_database(environ: Mapping[str, str]) -> str:
    """Return the database that *environ* names."""
    return load(ClickHouseSettings, environ).database


@contextmanager
def reading(environ: Mapping[str, str]) -> Iterator[ClickHouse]:
    """Connect to ClickHouse as `analyst`, who can only read: a person's own SQL is part of the statement.

    Raises what `find_reading` and `Servers.tables` raise.
    """
    with find_reading(environ).tables() as connection:
        yield connection
