"""Addresses as people write them: brokers, HTTP URLs, and what a message shows of them."""

from __future__ import annotations

import pytest
from aiokafka.conn import collect_hosts
from faust.transport.drivers.aiokafka import server_list
from faust.utils.urls import urllist

from schemas.addresses import brokers, http_url, in_url, without_credentials

BRACKETS = r"must have an IPv6 address in brackets, such as \[::1\]"
PORT = "must have a port between 1 and 65535"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("kafka", ["kafka:9092"]),
        ("localhost:19092", ["localhost:19092"]),
        (" a:1 ,b:65535,, ", ["a:1", "b:65535"]),
        ("kafka_1.example.:9093", ["kafka_1.example.:9093"]),
        ("10.0.0.1", ["10.0.0.1:9092"]),
        ("[::1]:9092", ["[::1]:9092"]),
        ("[::1]", ["[::1]:9092"]),
        ("::1", ["[::1]:9092"]),
        ("2001:db8::abcd,[2001:db8::1]:9093", ["[2001:db8::abcd]:9092", "[2001:db8::1]:9093"]),
    ],
)
def test_brokers_are_hosts_with_ports(servers: str, expected: list[str]) -> None:
    assert brokers(servers) == expected


@pytest.mark.parametrize(
    "servers", ["kafka", "kafka_1:9092", "10.0.0.1:1", "::1", "[2001:db8::1]:65535", "a:1,[::1]:2"]
)
def test_gateway_and_worker_connect_to_the_same_brokers(servers: str) -> None:
    """The gateway gives the brokers to aiokafka; Faust makes URLs of them first."""
    found = brokers(servers)
    from_faust = server_list(urllist([f"sequence://{server}" for server in found]), 9092)

    assert collect_hosts(found, randomize=False) == collect_hosts(from_faust, randomize=False)
    assert [f"{in_url(host)}:{port}" for host, port, _ in collect_hosts(from_faust, randomize=False)] == found


@pytest.mark.parametrize(
    ("servers", "fault"),
    [
        ("", "must be host:port, comma-separated"),
        (" , ", "must be host:port, comma-separated"),
        ("a:1 b:2", "must be host:port, comma-separated"),
        ("kafka/path", "must be host:port, comma-separated"),
        ('"kafka:9092"', "must be host:port, comma-separated"),
        ("user@kafka:9092", "must be host:port, comma-separated"),
        ("kafka://h:9092", "without a scheme; SEQUENCE_KAFKA_SECURITY_PROTOCOL sets the protocol"),
        ("a:1,SASL_SSL://h:9092", "without a scheme; SEQUENCE_KAFKA_SECURITY_PROTOCOL sets the protocol"),
        ("kafka:", PORT),
        ("kafka:abc", PORT),
        ("kafka:0", PORT),
        ("kafka:65536", PORT),
        ("kafka:-1", PORT),
        ("kafka:٣", PORT),
        ("[::1]:0", PORT),
        ("::1:9092", BRACKETS),
        ("2001:db8::1:19092", BRACKETS),
        ("kafka:1:2", BRACKETS),
        ("[::1", BRACKETS),
        ("[kafka]:9092", BRACKETS),
        ("[fe80::1%eth0]:9092", BRACKETS),
    ],
)
def test_other_brokers_are_refused_with_the_reason(servers: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        brokers(servers)


@pytest.mark.parametrize(
    ("url", "parts", "shown"),
    [
        ("http://127.0.0.1:8123", ("http", "127.0.0.1", 8123, "", "", ""), "http://127.0.0.1:8123"),
        ("HTTPS://host", ("https", "host", 0, "", "", ""), "https://host"),
        ("https://proxy.example/ch/", ("https", "proxy.example", 0, "/ch/", "", ""), "https://proxy.example/ch/"),
        ("http://h:80/a/b", ("http", "h", 80, "/a/b", "", ""), "http://h:80/a/b"),
        ("http://[::1]:8123/", ("http", "::1", 8123, "/", "", ""), "http://[::1]:8123/"),
        ("http://ada@h", ("http", "h", 0, "", "ada", ""), "http://h"),
        ("http://:pw@h", ("http", "h", 0, "", "", "pw"), "http://h"),
        ("http://a%40b:p%3A%2F@h:1/c", ("http", "h", 1, "/c", "a@b", "p:/"), "http://h:1/c"),
        ("http://ada:p:w@x@h", ("http", "h", 0, "", "ada", "p:w@x"), "http://h"),
    ],
)
def test_url_has_scheme_host_port_path_and_login(url: str, parts: tuple[object, ...], shown: str) -> None:
    found = http_url(url)

    assert (found.scheme, found.host, found.port, found.path, found.username, found.password) == parts
    assert found.without_login == shown


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "must be a URL that starts with http:// or https://"),
        ("localhost:8123", "must be a URL that starts with http:// or https://"),
        ("ftp://host", "must be a URL that starts with http:// or https://"),
        ("http:/host", "must be a URL that starts with http:// or https://"),
        ("http://", "must be a URL such as"),
        ("http://a b", "must be a URL such as"),
        ("http://h?user=x", "must have no query string and no fragment$"),
        ("http://h/#x", "must have no query string and no fragment$"),
        ("http://ada:a#b@h", "in a password, write . as %3F and # as %23"),
        ("http://ada:1/2@h", "in a password, write / as %2F"),
        ("http://h:0", PORT),
        ("http://h:99999", PORT),
        ("http://h:abc", PORT),
        ("http://h:/", PORT),
        ("http://::1:8123", "with an IPv6 address in brackets"),
        ("http://[host]:8123", BRACKETS),
    ],
)
def test_other_urls_are_refused_with_the_reason(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        http_url(url)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://h:8123/x", "http://h:8123/x"),
        ("http://ada:sesame@h", "http://***@h"),
        ("ada:sesame@h:8123", "***@h:8123"),
        ("http://ada:sesame#@x?/y@h", "http://***@h"),
        ("SASL_SSL://ada:sesame@a:1,SASL_SSL://bob:sesame@b:1", "SASL_SSL://***@b:1"),
    ],
)
def test_message_shows_an_address_without_its_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
