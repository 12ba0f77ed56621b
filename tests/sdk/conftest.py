"""One pipeline for all of it, and everything that the libraries send to it, sent once and side by side."""

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
from tests.sdk.front import Front
from tests.sdk.installing import Sdk, Told, node_sdk, python_sdk
from tests.sdk.orders import ORDERS, SENT, ZIPPED, Order
from tests.support import logs

SENDERS = 6


@dataclass(frozen=True, slots=True)
class Sent:
    """An order that was carried out."""

    user: str
    told: Told
    front: Front


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
def sent(pipeline: Stack, sdks: dict[str, Sdk]) -> dict[tuple[str, str], Sent]:
    """Every order carried out by every library, and nothing of it on its way any more."""

    def send(sdk: str, name: str, order: Order) -> tuple[tuple[str, str], Sent]:
        user = f"{sdk}-{name}"
        with Front(pipeline.gateways[0], order.faults) as front:
            spoken = order.spoken(host=front.address, key=pipeline.token, user=user)
            return (sdk, name), Sent(user, sdks[sdk].send(spoken), front)

    orders = [(sdk, name, ORDERS[name]) for sdk, name in SENT] + [("python", "zipped", ZIPPED)]
    with ThreadPoolExecutor(SENDERS) as senders:
        done = dict(senders.map(lambda arguments: send(*arguments), orders))
    wait_until_idle(pipeline)
    return done


@pytest.fixture(scope="package")
def copies(pipeline: Stack, sent: dict[tuple[str, str], Sent]) -> Counter[str]:
    """How often each messageId stands on `items.v1`."""
    assert sent
    records = logs.read(pipeline.kafka, Topics(pipeline.kafka.topic_prefix).items)
    return Counter(orjson.loads(record.value)["messageId"] for record in records)


@pytest.fixture(scope="package")
def rejected(pipeline: Stack, sent: dict[tuple[str, str], Sent]) -> dict[str, dict[str, Any]]:
    """What was refused of it, by messageId."""
    assert sent
    records = logs.read(pipeline.kafka, Topics(pipeline.kafka.topic_prefix).rejected)
    rejections = [orjson.loads(record.value) for record in records]
    by_id = {rejection["messageId"]: rejection for rejection in rejections}
    assert len(by_id) == len(rejections)
    return by_id
