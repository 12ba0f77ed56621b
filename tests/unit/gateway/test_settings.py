"""The gateway's settings: ranges, and the checks of origins and trusted proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.settings import GatewaySettings, networks
from schemas.settings import SettingsError, load


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("SEQUENCE_GATEWAY_PORT", "99999", "between 0 and 65535"),
        ("SEQUENCE_GATEWAY_ITEM_LIMIT_BYTES", "524289", "between 1 and 524288"),
        ("SEQUENCE_GATEWAY_BATCH_BYTES", "1024", "between 16384 and 983040"),
        ("SEQUENCE_GATEWAY_CONNECTION_LIMIT", "0", "at least 1"),
        ("SEQUENCE_GATEWAY_BODY_STALL_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("SEQUENCE_GATEWAY_TRUSTED_PROXIES", "10.0.0.5,proxy", "IP addresses or CIDR networks, comma-separated"),
    ],
)
def test_value_outside_the_range_is_rejected(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(GatewaySettings, {variable: value})

    assert str(caught.value) == f"{variable}: must be {allowed}, got '{value}'"


@pytest.mark.parametrize(
    "text", ["shop.example", "https://a.example/page", "https://a.example;https://b.example", "https://*.example"]
)
def test_origin_that_no_browser_sends_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^SEQUENCE_GATEWAY_CORS_ORIGINS: must be origins such as https://[^\n]+$"):
        load(GatewaySettings, {"SEQUENCE_GATEWAY_CORS_ORIGINS": text})


def test_trusted_proxies_are_addresses_and_networks() -> None:
    assert networks(" 10.0.0.5, 192.168.0.0/16 ,::1,") == [
        ip_network("10.0.0.5/32"),
        ip_network("192.168.0.0/16"),
        ip_network("::1/128"),
    ]
    assert networks("") == []


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_ipv4_mapped_proxy_is_its_ipv4_network(text: str, network: str) -> None:
    assert networks(text) == [ip_network(network)]


def test_scheme_is_https_with_a_certificate() -> None:
    assert GatewaySettings().scheme == "http"
    assert GatewaySettings(tls_certificate_file="server.pem").scheme == "https"
