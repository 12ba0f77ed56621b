"""`sequence up`, with the workers' way to ClickHouse leading through a proxy where a test asks for one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from deploy.local.parts import Parts
from deploy.local.stack import up
from deploy.local.supervisor import Part

WORKERS_CLICKHOUSE = "SEQUENCE_TEST_WORKERS_CLICKHOUSE_URL"


class ProxiedParts(Parts):
    """The parts, whose workers are told another address of ClickHouse."""

    def workers(self) -> list[Part]:
        """Return the workers of each kind."""
        address = os.environ[WORKERS_CLICKHOUSE]
        return [
            replace(part, environ={**part.environ, "SEQUENCE_CLICKHOUSE_URL": address}) for part in super().workers()
        ]


if __name__ == "__main__":
    up(os.environ, int(sys.argv[1]), make_parts=ProxiedParts if WORKERS_CLICKHOUSE in os.environ else Parts)
