"""Addresses as people write them: brokers and HTTP URLs. Pure; each error names what is wrong with the address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address, ip_address
from urllib.parse import unquote

KAFKA_PORT = 9092
MAX_PORT = 65535

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*://")
_BROKER = re.compile(r"(?P<host>\[[^\[\]%]*\]|[\w.-]+)(?::(?P<port>[^:]*))?")
_LOOKS_LIKE_PORT = re.compile(r":[0-9]{4,}$")
_URL = re.compile(
    r"(?P<scheme>https?)://(?:(?P<login>[^/\s]*)@)?(?P<host>\[[^\[\]%]*\]|[\w.-]+)(?::(?P<port>[^/@]*))?(?P<path>/[^\s@]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """The parts of a URL; an IPv6 host has no brackets, an absent port is 0."""

    scheme: str
    host: str
    port: int
    path: str
    username: str
    password: str

    @property
    def without_login(self) -> str:
        """The URL without user name and password."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{in_url(self.host)}{port}{self.path}"


def without_credentials(text: str) -> str:
    """Return *text* for a message: whatever stands before its last `@`, such as a password, is left out."""
    scheme = _SCHEME.match(text)
    _, at, rest = text.rpartition("@")
    return f"{scheme[0] if scheme else ''}***@{rest}" if at else text


def in_url(host: str) -> str:
    """Return *host* as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def bare_host(host: str) -> str:
    """Return *host* as a socket takes it: an IPv6 address without brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def is_loopback(host: str) -> bool:
    """Return whether *host* names this machine."""
    if host.lower().rstrip(".").endswith(".localhost") or host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def brokers(servers: str) -> list[str]:
    """Return the comma-separated brokers of *servers* as `host:port`, an IPv6 address in brackets.

    The port is 9092 unless it is given. Raises ValueError with a phrase such as `must be host:port`.
    """
    found = [_broker(server.strip()) for server in servers.split(",") if server.strip()]
    if not found:
        raise ValueError("must be host:port, comma-separated")
    return found


def _broker(server: str) -> str:
    if "://" in server:
        raise ValueError("must be host:port without a scheme; SEQUENCE_KAFKA_SECURITY_PROTOCOL sets the protocol")
    if _is_ipv6(server):
        # `::1:9092` is an address as well, but hardly the one that is meant.
        if _LOOKS_LIKE_PORT.search(server):
            raise ValueError("must have an IPv6 address in brackets, such as [::1]:9092")
        return f"[{server}]:{KAFKA_PORT}"
    parts = _BROKER.fullmatch(server)
    if parts is None:
        if re.fullmatch(r"[\[\]\w:.%]*:\S*:\S*", server):
            raise ValueError("must have an IPv6 address in brackets, such as [::1]:9092")
        raise ValueError("must be host:port, comma-separated")
    _check_host(parts["host"])
    return f"{parts['host']}:{KAFKA_PORT if parts['port'] is None else _port(parts['port'])}"


def http_url(url: str) -> HttpUrl:
    """Return the parts of *url*: `http://` or `https://`, an optional login, host, optional port and path.

    Raises ValueError with a phrase such as `must be a URL`.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError("must be a URL that starts with http:// or https://, such as http://127.0.0.1:8123")
    if "?" in url or "#" in url:
        hint = "; in a password, write ? as %3F and # as %23" if "@" in url else ""
        raise ValueError(f"must have no query string and no fragment{hint}")
    parts = _URL.fullmatch(url)
    if parts is None and "@" in url:
        raise ValueError("must be a URL such as http://user:password@127.0.0.1:8123; in a password, write / as %2F")
    if parts is None:
        raise ValueError("must be a URL such as http://127.0.0.1:8123, with an IPv6 address in brackets")
    _check_host(parts["host"])
    username, _, password = (parts["login"] or "").partition(":")
    return HttpUrl(
        parts["scheme"].lower(),
        parts["host"].strip("[]"),
        0 if parts["port"] is None else _port(parts["port"]),
        parts["path"] or "",
        unquote(username),
        unquote(password),
    )


def _check_host(host: str) -> None:
    if host.startswith("[") and not _is_ipv6(host[1:-1]):
        raise ValueError("must have an IPv6 address in brackets, such as [::1]")


def _port(text: str) -> int:
    # `isdecimal` takes the digits of every script, and `int` accepts spaces and underscores.
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_PORT:
        raise ValueError(f"must have a port between 1 and {MAX_PORT}")
    return int(text)


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False
