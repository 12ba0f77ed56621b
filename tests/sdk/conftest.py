"""Fixtures of the SDK tests: one pipeline, and every scenario and library run once, several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from schemas.topics import Topics
from tests.faults.invariants import wait_until_idle
from tests.faults.stack import Stack
from tests.sdk.install import Sdk, SdkReport
from tests.sdk.libraries import Machine, installed, libraries
from tests.sdk.matrix import Outcome, outcomes
from tests.sdk.proxy import FaultyProxy
from tests.sdk.runs import GATEWAY, run_all
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
    with Stack(tmp_path_factory.mktemp("sdk"), GATEWAY, each=1) as stack:
        yield stack


@pytest.fixture(scope="package")
def machine() -> Machine:
    """What is installed on this machine."""
    return installed()


@pytest.fixture(scope="package")
def sdks(machine: Machine) -> Mapping[str, Sdk]:
    """The installed libraries, by language."""
    return machine.sdks


@pytest.fixture(scope="package")
def sent(pipeline: Stack, sdks: Mapping[str, Sdk]) -> dict[tuple[str, str], Run]:
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
    """The rejections of the scenarios, by messageId."""
    users = [run.user for run in sent.values()]
    records = logs.read(pipeline.kafka, Topics(pipeline.kafka.topic_prefix).rejected)
    entries = [orjson.loads(record.value) for record in records]
    rejections = [entry for entry in entries if any(user in entry["content"] for user in users)]
    by_id = {rejection["messageId"]: rejection for rejection in rejections}
    assert len(by_id) == len(rejections)
    return by_id


@pytest.fixture(scope="package")
def arrived(pipeline: Stack, machine: Machine) -> dict[str, Outcome]:
    """What became of the items of each library, by its key; the pipeline has processed all of it."""
    runs = run_all(libraries(), machine, gateway=pipeline.gateways[0], token=pipeline.token)
    wait_until_idle(pipeline)
    return {outcome.run.library.key: outcome for outcome in outcomes(pipeline, runs)}
