"""Benchmarks run: each comparison in its smallest size. Nothing is asserted about speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import results
from tests.benchmarks.command import COMPARISONS, run
from tests.benchmarks.errors import BenchError
from tests.benchmarks.functions import QUERIES
from tests.benchmarks.names import STORAGES
from tests.benchmarks.plan import Plan
from tests.support.services import free_ports

SMALL = Plan(
    rounds=1,
    recovered=1_000,
    sustained_seconds=2,
    items_per_second=500,
    gateway_seconds=1,
    connections=(4,),
    batches=(10,),
    latencies=(100,),
    latency_seconds=3,
    names=(60,),
    named_rows=1_000,
    queried_rows=1_000,
    counted_rows=20_000,
    cookbook_events=10_000,
)


def environ(directory: Path) -> dict[str, str]:
    first = free_ports(6)
    # The gateways of all candidates use consecutive ports, starting with the last of these.
    ports = ("SEQUENCE_LOCAL_KAFKA_PORT", "SEQUENCE_LOCAL_CLICKHOUSE_PORT", "SEQUENCE_GATEWAY_PORT")
    return {"SEQUENCE_STATE_DIR": str(directory), **{name: str(first + n) for n, name in enumerate(ports)}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("recovery", ["0 entries", "1,000 entries"]),
        pytest.param("names", [storage.name for storage in STORAGES], marks=pytest.mark.bench),
        pytest.param(
            "functions",
            [name for candidates in QUERIES.values() for name in candidates],
            marks=pytest.mark.bench,
        ),
        pytest.param(
            "catalog",
            2 * ["INSERT", "pass", "without the catalogue", "with the catalogue"],
            marks=pytest.mark.bench,
        ),
        pytest.param("cookbook", 39 * ["typed table", "typed view"], marks=pytest.mark.bench),
        pytest.param(
            "gateway",
            ["an aiohttp handler with `send` per item", "one gateway", "two gateways"],
            marks=pytest.mark.bench,
        ),
        pytest.param(
            "end-to-end",
            [
                "at 100 items/s",
                "the naive pipeline, 10 % duplicates, 5 % identifies",
                "500 items/s offered for 2 s, 10 % duplicates, 5 % identifies",
            ],
            marks=pytest.mark.bench,
        ),
    ],
)
def test_comparison_has_a_row_for_each_candidate(name: str, expected: list[str], tmp_path: Path) -> None:
    done = run(environ(tmp_path), SMALL, name, tmp_path, print)

    assert [row.name for row in done.rows][: len(expected)] == expected
    assert all(row.value > 0 for row in done.rows)
    assert results.read(tmp_path / "bench.json") == done


def test_unknown_comparison_is_rejected_with_the_available_ones(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=", ".join(COMPARISONS)):
        run({}, SMALL, "speed", tmp_path, print)
