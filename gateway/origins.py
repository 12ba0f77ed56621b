"""Origins of web pages as people write them in a setting: `https://shop.example`, a pattern, `null` or `*`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import AddressValueError, IPv6Address

ANY = "*"

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[^\]]*\]|[^:/?#]*)(?::(?P<port>[^/?#]*))?(?P<rest>.*)"
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(rf"(?P<any>\*\.)?(?P<name>{_LABEL}(?:\.{_LABEL})*)")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LONGEST_SENT = 512
"""Characters of an origin that is compared; a host name has at most 253."""


def check_origins(text: str) -> None:
    """Raise ValueError if one of the comma-separated origins of *text* is none that a browser could ever send."""
    list(_patterns(text))


def matcher(text: str) -> Callable[[str], bool] | None:
    """Return what tells whether an `Origin` header is among the comma-separated origins of *text*; None for no origin.

    Raises ValueError as `check_origins` does.
    """
    patterns = list(_patterns(text))
    if not patterns:
        return None
    allowed = re.compile("|".join(patterns))
    return lambda origin: len(origin) <= _LONGEST_SENT and allowed.fullmatch(origin) is not None


def _patterns(text: str) -> Iterator[str]:
    """Yield a regular expression for each origin."""
    for part in text.split(","):
        if origin := part.strip():
            try:
                yield _pattern(origin.lower())
            except ValueError as error:
                raise ValueError(
                    "must be origins such as https://shop.example or https://*.shop.example, comma-separated, or `*`; "
                    f"`{origin}` {error}"
                ) from None


def _pattern(origin: str) -> str:
    if origin == ANY:
        return r"(?:null|[a-z][a-z0-9+.-]*://\S*)"
    if origin == "null":
        return "null"
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        raise ValueError("has no scheme; write https:// or http:// before it")
    if parts["scheme"] == "file" or not parts["host"]:
        raise ValueError("has no host; pages that are opened from a file send the origin `null`")
    if parts["rest"].strip("/") or "@" in origin:
        raise ValueError("has more than a scheme, a host and a port")
    return rf"{re.escape(parts['scheme'])}://{_host(parts['host'])}{_port(parts['scheme'], parts['port'])}"


def _host(host: str) -> str:
    if host.startswith("["):
        try:
            return re.escape(f"[{IPv6Address(host[1:-1])}]")
        except AddressValueError:
            raise ValueError("has no valid IPv6 address") from None
    if not host.isascii():
        raise ValueError("has a host with letters beyond ASCII; browsers send it as xn--…")
    parts = _HOST.fullmatch(host)
    if parts is None:
        raise ValueError(
            "has a `*` elsewhere than as the first part of a host name" if "*" in host else "has no valid host name"
        )
    name = parts["name"]
    if not parts["any"]:
        return re.escape(name)
    if "." not in name and name != "localhost":
        raise ValueError("would allow every host of a top-level domain")
    return rf"(?:[a-z0-9_-]+\.)+{re.escape(name)}"


def _port(scheme: str, port: str | None) -> str:
    # A browser leaves out the default port.
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return ""
    if port == "*":
        return r"(?::[0-9]{1,5})?"
    if not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise ValueError("has no port between 1 and 65535, or `*`")
    return f":{port}"
