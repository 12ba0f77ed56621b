"""The record of the deployment: written once, and never with another number of partitions."""

from __future__ import annotations

import pytest

from deploy.deployment import record_on
from deploy.errors import TopicsError
from tests.fakes.projects_topic import MemoryProjectsTopic


async def test_number_of_partitions_is_recorded_once() -> None:
    topic = MemoryProjectsTopic()

    await record_on(topic, "sequence", 4)
    await record_on(topic, "sequence", 4)

    assert len(topic.records) == 1
    assert (await topic.read()).deployments["v1"].partitions == 4


async def test_another_number_of_partitions_is_refused_and_not_recorded() -> None:
    topic = MemoryProjectsTopic()
    await record_on(topic, "sequence", 4)

    with pytest.raises(TopicsError, match=r"sequence\.items\.v1 has 8, but the deployment was created with 4"):
        await record_on(topic, "sequence", 8)

    assert len(topic.records) == 1
