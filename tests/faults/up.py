"""`sequence up`, with the workers' way to ClickHouse leading through a proxy where a test asks for one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from deploy.local.services import Services
from deploy.local.stack import up
from deploy.local.supervisor import Service

WORKERS_CLICKHOUSE = "SEQUENCE_TEST_WORKERS_CLICKHOUSE_URL"


class ProxiedServices(Services):
    """The parts, whose workers are told another address of ClickHouse."""

    def workers(self) -> list[Service]:
        """Return the workers of each kind."""
        address = os.environ[WORKERS_CLICKHOUSE]
        return [
            replace(part, environ={**part.environ, "SEQUENCE_CLICKHOUSE_URL": address}) for part in super().workers()
        ]


if __name__ == "__main__":
    up(os.environ, int(sys.argv[1]), make_parts=ProxiedServices if WORKERS_CLICKHOUSE in os.environ else Services)
