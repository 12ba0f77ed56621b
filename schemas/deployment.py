"""The number of partitions as part of a deployment's identity. Pure.

A key belongs to one partition as long as the number of partitions is the same. With another number, an item that is
sent again reaches another partition, where no dedupe entry is, and a person is divided between two partitions.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.projects import Deployment


def different_partitions(deployment: Deployment | None, counts: Mapping[str, int]) -> str | None:
    """Return what to do about topics in *counts*, partitions by name, whose number is not that of *deployment*.

    Returns None if every number is the same, or if the deployment is not recorded.
    """
    if deployment is None:
        return None
    others = {name: count for name, count in sorted(counts.items()) if count != deployment.partitions}
    if not others:
        return None
    listed = ", ".join(f"{name} has {count}" for name, count in others.items())
    return (
        f"The number of partitions has changed: {listed}, but the deployment was created with "
        f"{deployment.partitions}. Items that are sent again would count twice. Kafka cannot remove partitions: set a "
        "new SEQUENCE_TOPIC_PREFIX, a new SEQUENCE_CLICKHOUSE_DATABASE and an empty SEQUENCE_WORKER_DIR, and run "
        "`sequence topics apply` and `sequence tables migrate`."
    )
