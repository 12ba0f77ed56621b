"""The gateway's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated

from msgspec import Meta

from gateway.origins import check_origins
from schemas.settings import Bytes, Count, KafkaSettings, Seconds, setting

KIB = 1024
MIB = 1024 * KIB
_MAPPED_BITS = 96
"""Bits before the IPv4 address in an IPv4-mapped IPv6 address."""


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Return the comma-separated IP addresses and CIDR networks of *text*; raises ValueError if one is neither.

    An IPv4-mapped network, such as `::ffff:10.0.0.0/104`, is returned as its IPv4 network.
    """
    try:
        return [_unmapped(ip_network(part.strip())) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError("must be IP addresses or CIDR networks, comma-separated") from None


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    address = network.network_address
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((address.ipv4_mapped, network.prefixlen - _MAPPED_BITS))
    return network


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What `sequence gateway` reads from the environment."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    host: str = setting("SEQUENCE_GATEWAY_HOST", "127.0.0.1", "Address that the gateway listens on")
    # 0 lets the operating system choose, which is of use to tests.
    port: Annotated[int, Meta(ge=0, le=65535)] = setting(
        "SEQUENCE_GATEWAY_PORT", 8080, "Port that the gateway listens on"
    )
    reuse_port: bool = setting(
        "SEQUENCE_GATEWAY_REUSE_PORT", default=False, about="Whether several gateways on one machine share the port"
    )
    tls_certificate_file: str = setting(
        "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE", "", "File of the TLS certificate and its chain, in PEM format"
    )
    tls_key_file: str = setting(
        "SEQUENCE_GATEWAY_TLS_KEY_FILE", "", "File of the private key of the TLS certificate, in PEM format"
    )
    trusted_proxies: str = setting(
        "SEQUENCE_GATEWAY_TRUSTED_PROXIES",
        "",
        "Proxies (IP addresses or CIDR networks, comma-separated) whose `X-Forwarded-Proto` header is trusted",
        check=networks,
    )
    cors_origins: str = setting(
        "SEQUENCE_GATEWAY_CORS_ORIGINS",
        "",
        "Origins that browsers may send events from, comma-separated; `https://*.shop.example` has every subdomain, "
        "and `*` is every origin",
        check=check_origins,
    )
    wire_limit_bytes: Bytes = setting(
        "SEQUENCE_GATEWAY_COMPRESSED_LIMIT_BYTES", 500 * KIB, "Maximum size of a compressed request body"
    )
    body_limit_bytes: Bytes = setting(
        "SEQUENCE_GATEWAY_BODY_LIMIT_BYTES", 4 * MIB, "Maximum size of a request body after decompression"
    )
    batch_limit_items: Count = setting(
        "SEQUENCE_GATEWAY_BATCH_LIMIT_ITEMS", 2500, "Maximum number of items in one request"
    )
    # A record has to stay well below Kafka's 1 MiB for a batch, or one item could block its partition.
    item_limit_bytes: Annotated[int, Meta(ge=1, le=512 * KIB, extra={"unit": "bytes"})] = setting(
        "SEQUENCE_GATEWAY_ITEM_LIMIT_BYTES",
        32 * KIB,
        "Maximum size of one item, including the fields that it inherits from its batch",
    )
    in_flight_limit_bytes: Bytes = setting(
        "SEQUENCE_GATEWAY_IN_FLIGHT_LIMIT_BYTES",
        128 * MIB,
        "Maximum total size of request bodies and unacknowledged records in memory",
    )
    unauthenticated_limit_bytes: Bytes = setting(
        "SEQUENCE_GATEWAY_UNAUTHENTICATED_LIMIT_BYTES",
        16 * MIB,
        "Maximum total size of bodies in memory of requests without a token in their headers",
    )
    connection_limit: Count = setting(
        "SEQUENCE_GATEWAY_CONNECTION_LIMIT", 20000, "Maximum number of open client connections"
    )
    head_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_HEAD_TIMEOUT_SECONDS", 10.0, "Time in which the headers of a request must arrive"
    )
    body_stall_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_BODY_STALL_TIMEOUT_SECONDS",
        10.0,
        "Time in which at least 1 KiB of the body of a request, or the rest of it, must arrive",
    )
    publish_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_PUBLISH_TIMEOUT_SECONDS", 5.0, "Time that a request waits for Kafka's acknowledgement"
    )
    delivery_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_DELIVERY_TIMEOUT_SECONDS",
        30.0,
        "Time after which an unacknowledged batch is abandoned and the Kafka producer is recreated",
    )
    kafka_request_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_KAFKA_REQUEST_TIMEOUT_SECONDS", 10.0, "Timeout of one request to a Kafka broker"
    )
    batch_bytes: Annotated[int, Meta(ge=16 * KIB, le=960 * KIB, extra={"unit": "bytes"})] = setting(
        "SEQUENCE_GATEWAY_BATCH_BYTES", 512 * KIB, "Maximum size of one batch of records sent to a partition"
    )
    keepalive_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_KEEPALIVE_TIMEOUT_SECONDS", 75.0, "Time after which an idle client connection is closed"
    )
    start_timeout_seconds: Seconds = setting(
        "SEQUENCE_GATEWAY_START_TIMEOUT_SECONDS", 30.0, "Time in which the gateway must reach Kafka at startup"
    )
    # The whole shutdown takes 20 s at most, and requests in flight need a part of them.
    shutdown_delay_seconds: Annotated[float, Meta(ge=0, le=10, extra={"unit": "seconds"})] = setting(
        "SEQUENCE_GATEWAY_SHUTDOWN_DELAY_SECONDS",
        5.0,
        "Time that the gateway still accepts requests after SIGTERM, while `/health/ready` fails",
    )

    @property
    def scheme(self) -> str:
        """The URL scheme under which clients reach the gateway: `https` with a TLS certificate, else `http`."""
        return "https" if self.tls_certificate_file else "http"
