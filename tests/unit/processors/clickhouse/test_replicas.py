"""Which replica may answer, and what is asked of the others before the sink believes a position."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from deploy.errors import OperateError
from deploy.operate.servers import Servers
from processors.clickhouse import cluster, replicas
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, MigrationError, UnavailableError
from processors.clickhouse.partition_key import NewKey, require
from processors.erasures.store import ErasureStore, Owned
from processors.retention.store import RetentionStore
from processors.sink.insert import ClickHouseSink
from schemas.clickhouse import DUPLICATES, EVENTS, Table
from schemas.erasure import Erasure
from schemas.settings import ClickHouseSettings, KafkaSettings
from tests.contracts.sinks import block, valid_lease

SERVER = "00000000-0000-0000-0000-000000000001"


class Replica(ClickHouse):
    """A replica of two that has everything and runs nothing, unless a test says otherwise."""

    def __init__(self, cluster: str = "main", lacks: str = "", *, waits_for_quorum: bool = False) -> None:
        super().__init__(ClickHouseSettings(cluster=cluster))
        self.lacks = lacks
        self.cut_off = 0
        self.waits_for_quorum = waits_for_quorum
        self.answering = {"r1": ["a"], "r2": ["b"]}
        self.active = ["r1", "r2"]
        self.asked: list[str] = []
        self.executed: list[str] = []

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self.asked.append(sql)
        if "clusterAllReplicas" in sql:
            return [{"replica": name, "found": found} for name, found in self.answering.items()]
        if "replica_is_active" in sql:
            return [{"replica": name} for name in self.active]
        if "system.zookeeper" in sql:
            return [{"path": "/clickhouse/tables/1/sequence/events/quorum"}] * self.waits_for_quorum
        if "system.replicas" in sql:
            named = {"server": SERVER, "host": "host-1", "is_cut_off": self.cut_off}
            return [
                {**named, "table": table, "missing": int(table == self.lacks)}
                for table in (parameters or {})["tables"]
                if table != "nowhere"
            ]
        return []

    def execute(self, sql: str, body: bytes | None = None, settings: Mapping[str, Any] | None = None) -> int:
        del body, settings
        self.executed.append(sql)
        return 0


def test_one_server_is_asked_nothing_about_replicas() -> None:
    one = Replica("")

    assert replicas.check_complete(one, "events") == ""
    replicas.check_settled(one, "events")
    assert replicas.on_all_replicas(one, "SELECT 1 AS value", {}, "events") == []
    assert one.asked == ["SELECT 1 AS value"]
    assert replicas.same_server("", "0") == ""


def test_complete_replica_tells_which_server_it_is() -> None:
    assert replicas.check_complete(Replica(), "events", "_positions") == SERVER
    assert SERVER in replicas.same_server(SERVER, "0, 0")


def test_replica_that_lacks_parts_gives_no_positions() -> None:
    for table in ("events", "_positions"):
        lagging = Replica(lacks=table)

        with pytest.raises(UnavailableError, match=f"host-1 is behind the others: 1 changes of {table} are waiting"):
            ClickHouseSink(lagging).positions(EVENTS, 1, [0])
        assert not any("max(_origin)" in sql for sql in lagging.asked)


def test_positions_are_read_from_the_server_that_was_asked() -> None:
    whole = Replica()

    ClickHouseSink(whole).positions(EVENTS, 1, [0])

    assert f"serverUUID() != toUUID('{SERVER}')" in whole.asked[-1]
    alone = Replica("")
    ClickHouseSink(alone).positions(EVENTS, 1, [0])
    assert "serverUUID" not in alone.asked[-1]


def test_replica_without_keeper_may_lack_rows() -> None:
    cut_off = Replica()
    cut_off.cut_off = 1

    with pytest.raises(UnavailableError, match="has lost Keeper"):
        replicas.check_complete(cut_off, "events")


def test_table_that_is_not_replicated_is_named() -> None:
    with pytest.raises(UnavailableError, match="has no replicated table nowhere"):
        replicas.check_complete(Replica(), "events", "nowhere")


def test_insert_without_its_quorum_may_become_visible_later() -> None:
    with pytest.raises(UnavailableError, match="has not reached its quorum"):
        replicas.check_settled(Replica(waits_for_quorum=True), "events")
    replicas.check_settled(Replica(), "events")


def test_active_replica_that_does_not_answer_may_be_writing() -> None:
    cluster = Replica()
    assert replicas.on_all_replicas(cluster, "SELECT 1 AS value", {}, "events") == ["a", "b"]

    del cluster.answering["r2"]
    with pytest.raises(UnavailableError, match="unknown: r2"):
        replicas.on_all_replicas(cluster, "SELECT 1 AS value", {}, "events")


def test_lost_replica_does_not_stop_the_others() -> None:
    cluster = Replica()
    del cluster.answering["r2"]
    cluster.active = ["r1"]

    assert replicas.on_all_replicas(cluster, "SELECT 1 AS value", {}, "events") == ["a"]


def test_sink_waits_for_inserts_on_every_replica_and_for_quorums() -> None:
    idle = Replica()
    idle.answering = {"r1": [], "r2": []}
    ClickHouseSink(idle).wait_for_running_inserts(EVENTS, 1, [0])

    idle.waits_for_quorum = True
    with pytest.raises(UnavailableError, match="quorum"):
        ClickHouseSink(idle).wait_for_running_inserts(EVENTS, 1, [0])


class Slow(Replica):
    """Counts the INSERTs of one table that run at the same time."""

    def __init__(self, cluster: str) -> None:
        super().__init__(cluster)
        self.running = self.most = 0
        self.together = threading.Barrier(2)

    def execute(self, sql: str, body: bytes | None = None, settings: Mapping[str, Any] | None = None) -> int:
        del sql, body, settings
        self.running += 1
        self.most = max(self.most, self.running)
        if self.cluster:
            time.sleep(0.01)
        else:
            self.together.wait(10)
        self.running -= 1
        return 2


@pytest.mark.parametrize(("cluster", "most"), [("main", 1), ("", 2)])
def test_one_insert_of_a_table_at_a_time_waits_for_its_quorum(cluster: str, most: int) -> None:
    server = Slow(cluster)
    sink = ClickHouseSink(server)
    threads = [threading.Thread(target=sink.insert, args=([block(range(2), number)], valid_lease)) for number in (0, 1)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert server.most == most


class Answer(Replica):
    """Answers each query with one row."""

    def __init__(self, **row: object) -> None:
        super().__init__()
        self.row = row

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        del sql, parameters
        return [self.row]


@pytest.mark.parametrize(
    ("shards", "missing", "expected"),
    [(0, [], "has no cluster main"), (2, [], "has 2 shards"), (1, ["replica"], "has no macro replica")],
)
def test_cluster_that_cannot_have_the_tables_is_refused(shards: int, missing: list[str], expected: str) -> None:
    with pytest.raises(MigrationError, match=expected):
        cluster.check(Answer(shards=shards, missing=missing))
    cluster.check(Answer(shards=1, missing=[]))


def test_replicated_table_cannot_get_another_partition_key() -> None:
    wanted = NewKey("events", "toMonday(received_at)")

    with pytest.raises(MigrationError, match="cannot be copied"):
        require(Answer(engine_full="", partition_key="toYYYYMM(received_at)"), wanted)
    require(Answer(engine_full="", partition_key=wanted.key), wanted)


def test_command_without_a_form_for_replicas_changes_nothing() -> None:
    with pytest.raises(OperateError, match="`sequence backup` does not support replicated tables"):
        Servers(KafkaSettings(), ClickHouseSettings(cluster="main"), is_local=False).refuse_cluster("sequence backup")
    Servers(KafkaSettings(), ClickHouseSettings(), is_local=False).refuse_cluster("sequence backup")


@pytest.mark.parametrize("cluster_name", ["main", ""])
def test_retention_drops_no_part_on_a_cluster(cluster_name: str) -> None:
    class WithExpiredPart(Replica):
        def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
            del parameters
            return [{"name": "20261005_0_0_0", "others": 0}] if "_part AS name" in sql else []

    server = WithExpiredPart(cluster_name)
    RetentionStore(server).remove(DUPLICATES, "20261005", "1")

    [statement] = server.executed
    assert ("DELETE IN PARTITION ID '20261005' WHERE 1" in statement) is bool(cluster_name)
    assert ("DROP PART" in statement) is not bool(cluster_name)


@pytest.mark.parametrize("table", [EVENTS, DUPLICATES])
def test_erasure_changes_nothing_on_a_cluster(table: Table) -> None:
    server = Replica()
    owned = Owned("e1", "shop", b"key", Erasure(1, (b"u",), "kafka", 1, (1,), (1,)))

    with pytest.raises(ClickHouseError, match="not supported with SEQUENCE_CLICKHOUSE_CLUSTER"):
        ErasureStore(server).remove(owned, table)
    assert server.executed == []
