"""Fixtures of the SDK tests: one pipeline, and every scenario run once, concurrently, by each library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from schemas.topics import Topics
from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.sdk.install import Sdk, SdkReport, node_sdk, python_sdk
from tests.sdk.proxy import FaultyProxy
from tests.sdk.scenarios import COMPRESSED, RUNS, SCENARIOS, Scenario
from tests.support import logs

CONCURRENT_RUNS = 6


@dataclass(frozen=True, slots=True)
class Run:
    """A completed scenario."""

    user: str
    report: SdkReport
    proxy: FaultyProxy


@pytest.fixture(scope="package")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The pipeline, as `make run` starts it."""
    with Stack(tmp_path_factory.mktemp("sdk"), each=1) as stack:
        yield stack


@pytest.fixture(scope="package")
def sdks() -> dict[str, Sdk]:
    """Both libraries, by language."""
    return {sdk.name: sdk for sdk in (python_sdk(), node_sdk())}


@pytest.fixture(scope="package")
def sent(pipeline: Stack, sdks: dict[str, Sdk]) -> dict[tuple[str, str], Run]:
    """Every scenario run by every library; the pipeline has processed all of it."""

    def send(sdk: str, name: str, scenario: Scenario) -> tuple[tuple[str, str], Run]:
        user = f"{sdk}-{name}"
        with FaultyProxy(pipeline.gateways[0], scenario.faults) as proxy:
            program_input = scenario.program_input(host=proxy.address, key=pipeline.token, user=user)
            return (sdk, name), Run(user, sdks[sdk].send(program_input), proxy)

    runs = [(sdk, name, SCENARIOS[name]) for sdk, name in RUNS] + [("python", "compressed", COMPRESSED)]
    with ThreadPoolExecutor(CONCURRENT_RUNS) as pool:
        done = dict(pool.map(lambda arguments: send(*arguments), runs))
    wait_until_idle(pipeline)
    return done


@pytest.fixture(scope="package")
def copies(pipeline: Stack, sent: dict[tuple[str, str], Run]) -> Counter[str]:
    """Number of records with each messageId on `items.v1`."""
    assert sent
    records = logs.read(pipeline.kafka, Topics(pipeline.kafka.topic_prefix).items)
    return Counter(orjson.loads(record.value)["messageId"] for record in records)


@pytest.fixture(scope="package")
def rejected(pipeline: Stack, sent: dict[tuple[str, str], Run]) -> dict[str, dict[str, Any]]:
    """The rejections, by messageId."""
    assert sent
    records = logs.read(pipeline.kafka, Topics(pipeline.kafka.topic_prefix).rejected)
    rejections = [orjson.loads(record.value) for record in records]
    by_id = {rejection["messageId"]: rejection for rejection in rejections}
    assert len(by_id) == len(rejections)
    return by_id
