"""`sequence up` for fault tests: services can be held, mutated, given another clock or reach ClickHouse by a proxy.

They can run from the previous release.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from deploy.embedded.kafka import Broker
from deploy.local.probes import BrokerProbe
from deploy.local.services import Services
from deploy.local.stack import up
from deploy.local.supervisor import Service
from tests.faults import held, networks, previous_release
from tests.faults.small_machine import PRELOADED, preloaded
from tests.faults.worker import CLOCKS, WITHOUT, command

OF_GATEWAYS = frozenset({"partitions", "field_rules"})
"""Mutants of mechanisms that gateways have as well."""
WORKERS_CLICKHOUSE = "SEQUENCE_TEST_WORKERS_CLICKHOUSE_URL"
CLICKHOUSE_FILES = "SEQUENCE_TEST_CLICKHOUSE_FILES"
"""Limit of open files of ClickHouse."""


class FaultServices(Services):
    """Services whose workers are interrupted, mutated or proxied as the environment asks."""

    def clickhouse(self) -> Service:
        """Return ClickHouse, which `Stack.held` can hold."""
        service = super().clickhouse()
        if limit := os.environ.get(CLICKHOUSE_FILES):
            service = replace(service, environ={**service.environ, held.FILES: limit})
        return self._holdable(service)

    def kafka(self) -> list[Service]:
        """Return the brokers. `Stack.held` can hold those of a cluster."""
        services = super().kafka()
        if len(services) == 1:
            return services
        return [self._holdable(service) for service in services]

    def _make_brokers(self, *, json_log: bool) -> list[Broker]:
        brokers = super()._make_brokers(json_log=json_log)
        return [networks.addressed(each) for each in brokers] if os.environ.get(networks.NETWORKS) else brokers

    def _broker(self, broker: Broker) -> Service:
        service = super()._broker(broker)
        if not os.environ.get(networks.NETWORKS):
            return service
        address = networks.servers({broker.node: broker.port})
        return networks.inside(
            replace(service, address=address, probe=BrokerProbe(address, self.format_brokers)), broker.node
        )

    def _addresses(self) -> dict[str, str]:
        own = super()._addresses()
        if not os.environ.get(networks.NETWORKS):
            return own
        first = self.settings.local.kafka_port
        return {**own, "SEQUENCE_KAFKA_SERVERS": networks.servers({node: first + node - 1 for node in networks.NODES})}

    def gateways(self) -> list[Service]:
        """Return the gateways, with the clocks of the test if there are any, mutated if the mutant is of gateways."""
        services = super().gateways()
        if file := os.environ.get(PRELOADED):
            services[0] = replace(services[0], environ={**services[0].environ, **preloaded(file)})
        is_under_test = bool(os.environ.get(CLOCKS)) or os.environ.get(WITHOUT) in OF_GATEWAYS
        services = [_under_test(service) for service in services] if is_under_test else services
        return [previous_release.released(service, self.state) for service in services]

    def workers(self) -> list[Service]:
        """Return the workers of each kind."""
        services = [previous_release.released(_under_test(service), self.state) for service in super().workers()]
        return [self._holdable(service) for service in services]

    def _holdable(self, service: Service) -> Service:
        make, file = service.command, hold_file(self.state, service.name)
        return replace(service, command=lambda: held.arguments(file, make()))


def hold_file(state: Path, service: str) -> Path:
    """Return the file that holds *service* while it exists."""
    return state.parent / "held" / service


def _under_test(service: Service) -> Service:
    environ = service.environ
    if address := os.environ.get(WORKERS_CLICKHOUSE):
        environ = {**environ, "SEQUENCE_CLICKHOUSE_URL": address}
    kind = service.name.rpartition("-")[0]
    return replace(service, command=partial(command, kind, os.environ), environ=environ)


if __name__ == "__main__":
    if previous := os.environ.get(previous_release.PREVIOUS):
        previous_release.provision(previous)
    up(os.environ, int(sys.argv[1]), make_services=FaultServices)
