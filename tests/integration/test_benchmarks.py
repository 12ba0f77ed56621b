"""The benchmark measures: each comparison here is as small as it can be, and nothing is asserted on speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.errors import BenchError
from tests.benchmarks import results
from tests.benchmarks.command import COMPARISONS, run
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
)


def environ(directory: Path) -> dict[str, str]:
    first = free_ports(6)
    # The gateways of all contenders stand side by side, from the last of these on.
    ports = ("SEQUENCE_LOCAL_KAFKA_PORT", "SEQUENCE_LOCAL_CLICKHOUSE_PORT", "SEQUENCE_GATEWAY_PORT")
    return {"SEQUENCE_STATE_DIR": str(directory), **{name: str(first + n) for n, name in enumerate(ports)}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateway", ["an aiohttp handler with `send` per item", "one gateway", "two gateways"]),
        ("recovery", ["0 marks", "1,000 marks"]),
        (
            "whole",
            [
                "at 100 items/s",
                "the obvious pipeline, 10 % repeats, 5 % identifies",
                "500 items/s offered for 2 s, 10 % repeats, 5 % identifies",
            ],
        ),
    ],
)
def test_a_comparison_has_a_row_for_each_contender(name: str, expected: list[str], tmp_path: Path) -> None:
    done = run(environ(tmp_path), SMALL, name, tmp_path, print)

    assert [row.name for row in done.rows][: len(expected)] == expected
    assert all(row.value > 0 for row in done.rows)
    assert results.read(tmp_path / "bench.json") == done


def test_a_comparison_that_there_is_not_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=", ".join(COMPARISONS)):
        run({}, SMALL, "speed", tmp_path, print)
