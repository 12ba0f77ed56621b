"""Translation of the driver's errors, and the server's clock."""

from __future__ import annotations

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError

from processors.clickhouse.client import ServerClock, _translated_errors
from processors.clickhouse.errors import ClickHouseError, RejectedRowsError, UnavailableError


def translated(error: Exception) -> ClickHouseError:
    with pytest.raises(ClickHouseError) as raised, _translated_errors():
        raise error
    assert raised.value.__cause__ is error
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("Error Unexpected Http Driver Exception"),
        OSError("connection reset"),
        TimeoutError("timed out"),
        DatabaseError("HTTP driver received HTTP status 502"),
        DatabaseError("too many parts", code=252),
        DatabaseError("memory limit exceeded", code=241),
        DatabaseError("not enough space", code=243),
        DatabaseError("timeout exceeded", code=159),
        DatabaseError("too many simultaneous queries", code=202),
        DatabaseError("socket timeout", code=209),
    ],
    ids=str,
)
def test_temporary_failures_are_unavailable(error: Exception) -> None:
    assert type(translated(error)) is UnavailableError


@pytest.mark.parametrize("code", [6, 27, 38, 41, 53, 72, 117])
def test_unparsable_values_are_rejected_rows(code: int) -> None:
    assert type(translated(DatabaseError("cannot parse", code=code))) is RejectedRowsError


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError("syntax error", code=62),
        DatabaseError("unknown table", code=60),
        DatabaseError("authentication failed", code=516),
        ProgrammingError("the driver was asked for something that it does not do"),
    ],
    ids=str,
)
def test_permanent_failures_are_plain_clickhouse_errors(error: Exception) -> None:
    assert type(translated(error)) is ClickHouseError


def test_message_is_kept() -> None:
    assert "table events does not exist" in str(translated(DatabaseError("table events does not exist", code=60)))


def test_other_errors_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), _translated_errors():
        raise ZeroDivisionError


def test_server_clock_advances_from_its_reading() -> None:
    clock = ServerClock(seconds=1_800_000_000.5, monotonic=50.0)

    assert clock.at(50.0) == 1_800_000_000.5
    assert clock.at(62.25) == 1_800_000_012.75
    assert clock.at(49.0) == 1_799_999_999.5
