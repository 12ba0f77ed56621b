"""Errors of the servers that a command works on."""

from __future__ import annotations

import pytest

from deploy.operate.servers import Servers
from processors.clickhouse.errors import LostAnswerError, UnavailableError
from schemas.settings import ClickHouseSettings, KafkaSettings

SERVERS = Servers(KafkaSettings(), ClickHouseSettings("http://127.0.0.1:1"), is_local=True)


def test_lost_answer_names_the_server_and_the_cause() -> None:
    message = r"^ClickHouse at http://127.0.0.1:1 is unreachable: timed out. Check SEQUENCE_CLICKHOUSE_URL"
    with pytest.raises(LostAnswerError, match=message), SERVERS.tables():
        raise LostAnswerError("Error HTTPConnectionPool(…)") from TimeoutError("timed out")


def test_error_of_the_server_is_kept() -> None:
    with pytest.raises(UnavailableError, match="too many queries") as caught, SERVERS.tables():
        raise UnavailableError("too many queries", 202)
    assert caught.value.code == 202
