"""Compares the number of partitions with the record of the deployment, at the start and while the gateway runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from gateway.errors import PartitionsError
from schemas.deployment import different_partitions
from schemas.projects import Deployment
from schemas.topics import Topics

log = logging.getLogger(__name__)


class Partitions:
    """The number of partitions that the gateway spreads keys over: the one that the deployment was created with."""

    def __init__(self, topics: Topics, deployment: Callable[[], Deployment | None]) -> None:
        self._projects = topics.projects
        self._deployment = deployment
        self._warned = False

    def require(self, counts: Mapping[str, int]) -> None:
        """Raise `PartitionsError` if a topic in *counts*, partitions by name, has another number."""
        if (message := self._difference(counts)) is not None:
            raise PartitionsError(message)
        if self._deployment() is None:
            log.warning(
                "%s has no record of the deployment, so a changed number of partitions is not noticed. "
                "Run `sequence topics apply`",
                self._projects,
            )

    def warn_if_changed(self, counts: Mapping[str, int]) -> None:
        """Log once that partitions were added to a running deployment. They get no records from this gateway."""
        if not self._warned and (message := self._difference(counts)) is not None:
            self._warned = True
            log.error(
                "partitions were added: this gateway continues with the old ones, and its next start is refused with "
                "exit code 78. %s",
                message,
            )

    def _difference(self, counts: Mapping[str, int]) -> str | None:
        # `projects.v1` has one partition in every deployment. A topic without any is not visible at the moment.
        return different_partitions(
            self._deployment(), {name: count for name, count in counts.items() if count and name != self._projects}
        )
