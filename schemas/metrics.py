"""The name of every number that a process publishes, once: dashboards and alerts are built on them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A number as Prometheus sees it."""

    name: str
    about: str
    labels: tuple[str, ...] = ()


GATEWAY_REQUESTS = Metric("sequence_gateway_requests", "Requests answered, by status", ("status",))
GATEWAY_REQUEST_SECONDS = Metric(
    "sequence_gateway_request_seconds", "Time from a request's headers to its answer, of requests with items"
)
GATEWAY_ACCEPTED_ITEMS = Metric("sequence_gateway_accepted_items", "Items acknowledged by Kafka")
GATEWAY_REFUSED_ITEMS = Metric("sequence_gateway_refused_items", "Items refused, by code", ("code",))
GATEWAY_BODY_BYTES = Metric("sequence_gateway_body_bytes", "Bytes of bodies read, decompressed")
GATEWAY_IN_FLIGHT_BYTES = Metric("sequence_gateway_in_flight_bytes", "Bytes of bodies and records under way")
GATEWAY_PUBLISHED_RECORDS = Metric("sequence_gateway_published_records", "Records acknowledged, by topic", ("topic",))
GATEWAY_PUBLISHED_BATCHES = Metric("sequence_gateway_published_batches", "Batches acknowledged, by topic", ("topic",))
GATEWAY_FAILED_BATCHES = Metric("sequence_gateway_failed_batches", "Batches given up, by topic", ("topic",))
GATEWAY_PRODUCERS_REPLACED = Metric("sequence_gateway_producers_replaced", "Producers replaced after they failed")
GATEWAY_UNEXPECTED_ERRORS = Metric("sequence_gateway_unexpected_errors", "Requests that met a fault of the gateway")
GATEWAY_DIRECTORY_CHANGES = Metric("sequence_gateway_directory_changes", "Changes of projects and tokens followed")
