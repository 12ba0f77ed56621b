"""`sequence up` for fault tests: workers run through the test-only entry point, or through a proxy, if asked."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial

from deploy.local.services import Services
from deploy.local.stack import up
from deploy.local.supervisor import Service
from tests.faults.worker import command

WORKERS_CLICKHOUSE = "SEQUENCE_TEST_WORKERS_CLICKHOUSE_URL"


class FaultServices(Services):
    """Services whose workers are interrupted, mutated or proxied as the environment asks."""

    def workers(self) -> list[Service]:
        """Return the workers of each kind."""
        return [_under_test(service) for service in super().workers()]


def _under_test(service: Service) -> Service:
    environ = service.environ
    if address := os.environ.get(WORKERS_CLICKHOUSE):
        environ = {**environ, "SEQUENCE_CLICKHOUSE_URL": address}
    kind = service.name.rpartition("-")[0]
    return replace(service, command=partial(command, kind, os.environ), environ=environ)


if __name__ == "__main__":
    up(os.environ, int(sys.argv[1]), make_services=FaultServices)
