"""Errors of the servers that a command works on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka.errors import KafkaConnectionError

from deploy.errors import OperateError
from deploy.operate.offsets import NoAnswerError
from deploy.operate.servers import Servers
from processors.clickhouse.errors import LostAnswerError, UnavailableError
from schemas.settings import ClickHouseSettings, KafkaSettings

SERVERS = Servers(KafkaSettings(), ClickHouseSettings("http://127.0.0.1:1"), is_local=False)


def test_lost_answer_names_the_server_and_the_cause() -> None:
    message = r"^ClickHouse at http://127.0.0.1:1 is unreachable: timed out. Check SEQUENCE_CLICKHOUSE_URL"
    with pytest.raises(LostAnswerError, match=message), SERVERS.tables():
        raise LostAnswerError("Error HTTPConnectionPool(…)") from TimeoutError("timed out")


def test_server_of_the_local_stack_is_named_by_its_process() -> None:
    """The address of the local stack is in no variable that a person could correct."""
    local = replace(SERVERS, is_local=True)
    with (
        pytest.raises(LostAnswerError, match="the process clickhouse of the local stack") as clickhouse,
        local.tables(),
    ):
        raise LostAnswerError("…") from TimeoutError("timed out")
    for error in (KafkaConnectionError(), NoAnswerError("…")):

        async def fail(kafka: KafkaSettings, error: Exception = error) -> None:
            del kafka
            raise error

        with pytest.raises(OperateError, match="the process kafka of the local stack") as kafka:
            local.ask_kafka(fail)
        assert "SEQUENCE" not in str(kafka.value)

    assert "SEQUENCE" not in str(clickhouse.value)


def test_error_of_the_server_is_kept() -> None:
    with pytest.raises(UnavailableError, match="too many queries") as caught, SERVERS.tables():
        raise UnavailableError("too many queries", 202)
    assert caught.value.code == 202
