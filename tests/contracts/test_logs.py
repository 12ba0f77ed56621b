"""Which log writes to a database: the table on ClickHouse, and the fake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import pytest

from processors.clickhouse.client import ClickHouse
from processors.engine.errors import ForeignDatabaseError
from processors.sink.logs import ClickHouseLogs, LogIdentity, RegisteredLog
from processors.sink.positions import PositionReason
from schemas.clickhouse import EVENTS
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import SinkCase, block, valid_lease
from tests.fakes.sink import MemorySink
from tests.fakes.sink_log import MemoryLogs

THIS = LogIdentity("cluster-a", "sequence", "v1", 4)
OTHERS = [
    replace(THIS, cluster_id="cluster-b"),
    replace(THIS, topic_prefix="other"),
    replace(THIS, topic_version="v2"),
    replace(THIS, cluster_id=""),
]


@dataclass
class LogsCase:
    """Logs, and the sink of the same database."""

    logs: MemoryLogs | ClickHouseLogs
    sink: SinkCase


@pytest.fixture
def memory_logs(memory_sink: SinkCase) -> LogsCase:
    assert isinstance(memory_sink.sink, MemorySink)
    return LogsCase(MemoryLogs(memory_sink.sink), memory_sink)


@pytest.fixture
def clickhouse_logs(
    clickhouse_sink: SinkCase, clickhouse_client: ClickHouse, clickhouse_settings: ClickHouseSettings
) -> LogsCase:
    return LogsCase(ClickHouseLogs(clickhouse_client, clickhouse_settings.database), clickhouse_sink)


@pytest.fixture(params=["memory_logs", pytest.param("clickhouse_logs", marks=pytest.mark.services)])
def case(request: pytest.FixtureRequest) -> LogsCase:
    chosen: LogsCase = request.getfixturevalue(request.param)
    return chosen


def test_first_log_of_an_empty_database_is_registered(case: LogsCase) -> None:
    assert [case.logs.find_or_register(THIS) for _ in range(2)] == [1, 1]
    assert case.logs.find_or_register(replace(THIS)) == 1


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_another_log_is_refused_with_both_names_and_what_to_do(case: LogsCase, other: LogIdentity) -> None:
    case.logs.find_or_register(THIS)
    with pytest.raises(ForeignDatabaseError, match="sequence positions add-log") as refused:
        case.logs.find_or_register(other)
    message = str(refused.value)
    assert f"belongs to another deployment: {THIS} (log 1). This is {other}." in message
    assert "Set another SEQUENCE_CLICKHOUSE_DATABASE for another deployment." in message


def test_another_number_of_partitions_is_refused(case: LogsCase) -> None:
    case.logs.find_or_register(THIS)
    with pytest.raises(ForeignDatabaseError, match=r"4 partitions, but now there are 8 .*cannot change"):
        case.logs.find_or_register(replace(THIS, partitions=8))


def test_rows_without_a_registered_log_are_refused(case: LogsCase) -> None:
    case.sink.sink.insert([block(range(3))], valid_lease)
    with pytest.raises(ForeignDatabaseError, match=r"rows of log 1, but its table _logs is empty.*add-log --id 1`"):
        case.logs.find_or_register(THIS)
    assert case.logs.register(THIS, 1) == 1
    assert case.logs.find_or_register(THIS) == 1


def test_log_that_replaces_another_gets_the_next_id(case: LogsCase) -> None:
    case.logs.find_or_register(THIS)
    assert [case.logs.register(OTHERS[0]) for _ in range(2)] == [2, 2]
    assert [case.logs.find_or_register(each) for each in (THIS, OTHERS[0])] == [1, 2]


def test_id_of_rows_whose_log_is_not_registered_is_not_reused(case: LogsCase) -> None:
    case.sink.sink.insert([block(range(3))], valid_lease)
    assert case.logs.register(THIS) == 2


def test_id_of_another_log_is_refused(case: LogsCase) -> None:
    case.logs.register(THIS)
    with pytest.raises(ForeignDatabaseError, match=r"Log 1 of the database .* is another: Kafka cluster cluster-a"):
        case.logs.register(OTHERS[0], 1)


def test_database_has_rows_of_a_log_once_one_is_written_or_noted(case: LogsCase) -> None:
    assert not case.logs.has_rows(1)
    case.sink.sink.insert([block(range(3))], valid_lease)
    assert (case.logs.has_rows(1), case.logs.has_rows(2)) == (True, False)
    case.sink.sink.note_position(EVENTS, 2, 0, 5, PositionReason.KEPT)
    assert case.logs.has_rows(2)


def test_accepted_losses_are_by_log_topic_and_partition(case: LogsCase) -> None:
    case.logs.accept_loss(1, "events.v1", 0, 100)
    case.logs.accept_loss(1, "events.v1", 0, 50)
    case.logs.accept_loss(1, "events.v1", 2, 7)
    case.logs.accept_loss(2, "events.v1", 1, 8)
    case.logs.accept_loss(1, "persons.v1", 1, 9)

    assert case.logs.accepted(1, "events.v1", [0, 1, 2]) == {0: 100, 2: 7}
    assert case.logs.accepted(1, "events.v1", [1]) == {}
    assert case.sink.sink.positions(EVENTS, 1, [0, 1, 2]) == {}


@pytest.mark.services
def test_of_logs_that_register_at_once_one_wins(
    clickhouse_logs: LogsCase, clickhouse_settings: ClickHouseSettings
) -> None:
    identities = [THIS, *OTHERS] * 2

    def register(identity: LogIdentity) -> int | None:
        client = ClickHouse(clickhouse_settings)
        try:
            return ClickHouseLogs(client, clickhouse_settings.database).find_or_register(identity)
        except ForeignDatabaseError:
            return None
        finally:
            client.close()

    with ThreadPoolExecutor(len(identities)) as pool:
        found = list(pool.map(partial(register), identities))
    registered = clickhouse_logs.logs
    assert isinstance(registered, ClickHouseLogs)
    (winner,) = registered.registered()
    assert winner == RegisteredLog(1, winner.identity)
    assert [bool(id_) for id_ in found] == [identity == winner.identity for identity in identities]
