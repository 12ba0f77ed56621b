"""The gateway's settings, one dataclass for the process."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from schemas.settings import KafkaSettings, positive, setting

KIB = 1024
MIB = 1024 * KIB


def _is_port(value: int) -> bool:
    return 0 <= value <= 65535


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Return the comma-separated addresses and networks of *text*; ValueError where one is neither."""
    return [ip_network(part.strip()) for part in text.split(",") if part.strip()]


def _are_networks(text: str) -> bool:
    try:
        networks(text)
    except ValueError:
        return False
    return True


def _fits_a_record(value: int) -> bool:
    """A record has to stay well below Kafka's 1 MiB for a batch, or one item could block its partition."""
    return 0 < value <= 512 * KIB


def _fits_a_batch(value: int) -> bool:
    return 16 * KIB <= value <= 960 * KIB


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What `sequence gateway` reads from the environment."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    host: str = setting("SEQUENCE_GATEWAY_HOST", "127.0.0.1", "Address that the gateway listens on")
    port: int = setting("SEQUENCE_GATEWAY_PORT", 8080, "Port that the gateway listens on", check=_is_port)
    reuse_port: bool = setting(
        "SEQUENCE_GATEWAY_REUSE_PORT", default=False, about="Let several gateways of one machine share the port"
    )
    tls_certificate_file: str = setting(
        "SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE",
        "",
        "Certificate and its chain; without it the gateway speaks plain HTTP",
    )
    tls_key_file: str = setting(
        "SEQUENCE_GATEWAY_TLS_KEY_FILE", "", "The certificate's key; in the same file when empty"
    )
    trusted_proxies: str = setting(
        "SEQUENCE_GATEWAY_TRUSTED_PROXIES",
        "",
        "Addresses and networks, comma-separated, of proxies that are believed to have been asked by TLS",
        check=_are_networks,
    )
    cors_origins: str = setting(
        "SEQUENCE_GATEWAY_CORS_ORIGINS", "", "Origins that browsers may send from, comma-separated, or `*`"
    )
    wire_limit_bytes: int = setting(
        "SEQUENCE_GATEWAY_COMPRESSED_LIMIT_BYTES", 500 * KIB, "Largest compressed body", check=positive
    )
    body_limit_bytes: int = setting(
        "SEQUENCE_GATEWAY_BODY_LIMIT_BYTES", 4 * MIB, "Largest body, decompressed", check=positive
    )
    batch_limit_items: int = setting(
        "SEQUENCE_GATEWAY_BATCH_LIMIT_ITEMS", 2500, "Most items in one request", check=positive
    )
    item_limit_bytes: int = setting(
        "SEQUENCE_GATEWAY_ITEM_LIMIT_BYTES",
        32 * KIB,
        "Largest item, with what its batch gives it; up to 524288",
        check=_fits_a_record,
    )
    in_flight_limit_bytes: int = setting(
        "SEQUENCE_GATEWAY_IN_FLIGHT_LIMIT_BYTES",
        128 * MIB,
        "Bytes of bodies and records under way; above it requests get 503",
        check=positive,
    )
    connection_limit: int = setting(
        "SEQUENCE_GATEWAY_CONNECTION_LIMIT", 20000, "Most connections; a new one ends one that is idle", check=positive
    )
    head_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_HEAD_TIMEOUT_SECONDS", 10.0, "Time for headers to arrive; after it 408", check=positive
    )
    body_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_BODY_TIMEOUT_SECONDS", 10.0, "Time for a body to arrive; after it 408", check=positive
    )
    publish_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_PUBLISH_TIMEOUT_SECONDS", 5.0, "Time for Kafka to acknowledge; after it 503", check=positive
    )
    delivery_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_DELIVERY_TIMEOUT_SECONDS",
        30.0,
        "Time after which a batch that Kafka does not acknowledge is given up and the producer replaced",
        check=positive,
    )
    kafka_request_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_KAFKA_REQUEST_TIMEOUT_SECONDS", 10.0, "Time for one request to a broker", check=positive
    )
    batch_bytes: int = setting(
        "SEQUENCE_GATEWAY_BATCH_BYTES", 512 * KIB, "Largest batch of records sent to a partition", check=_fits_a_batch
    )
    keepalive_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_KEEPALIVE_TIMEOUT_SECONDS", 75.0, "Time that an idle connection is kept", check=positive
    )
    start_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_START_TIMEOUT_SECONDS", 30.0, "Time to reach Kafka at the start", check=positive
    )
    drain_timeout_seconds: float = setting(
        "SEQUENCE_GATEWAY_DRAIN_TIMEOUT_SECONDS",
        16.0,
        "Time for requests under way to end after SIGTERM",
        check=positive,
    )

    @property
    def scheme(self) -> str:
        """By what the gateway is asked: `https` where it has a certificate."""
        return "https" if self.tls_certificate_file else "http"
