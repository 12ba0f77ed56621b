"""Which requests may come from a browser: checks of `Host`, `Origin` and `Sec-Fetch-Site`. Pure.

A page of another origin must not act with the cookie of a person. SameSite=Strict keeps the cookie from other sites,
but every port of localhost is one site. A page of another name that resolves to this address (DNS rebinding) is of the
same origin as the console, so that only the name in `Host` tells them apart.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs
from multidict import MultiMapping

from deploy.console.errors import ForbiddenError

_OWN = frozenset({"same-origin", "none"})
"""`Sec-Fetch-Site` of a request by the console's own page, and of one by the person."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def host_names(text: str) -> frozenset[str]:
    """Return the names of SEQUENCE_CONSOLE_ALLOWED_HOSTS."""
    return frozenset(name.strip().lower().rstrip(".") for name in text.split(",") if name.strip())


def check_host(headers: MultiMapping[str], allowed: Collection[str]) -> None:
    """Raise `ForbiddenError` unless `Host` is an address, localhost or one of the *allowed* names.

    An address cannot be rebound: the browser has connected to it.
    """
    given = headers.getall(hdrs.HOST, ())
    name = _host_name(given[0]) if len(given) == 1 else None
    if name is None or not (name == "localhost" or name.endswith(".localhost") or name in allowed or _is_ip(name)):
        raise ForbiddenError(
            "host_not_allowed",
            f"The console does not answer for the host {', '.join(given)[:255]!r}. Add the name to "
            "SEQUENCE_CONSOLE_ALLOWED_HOSTS and restart the console, or use http://127.0.0.1.",
        )


def check_source(method: str, headers: MultiMapping[str], *, is_page: bool) -> None:
    """Raise `ForbiddenError` for a request by a page of another origin. Links to a page of the console may be followed.

    Programs send none of these headers, and need a token in `Authorization`.
    """
    origin, site = headers.get(hdrs.ORIGIN), headers.get("Sec-Fetch-Site")
    is_own = origin is None or _authority(origin) == headers.get(hdrs.HOST, "").lower()
    is_link = is_page and method in _SAFE and headers.get("Sec-Fetch-Mode") == "navigate"
    if not is_own or (site is not None and site not in _OWN and not is_link):
        raise ForbiddenError(
            "origin_not_allowed",
            "The console answers its own page and programs only, and this request is of another page. Open the console "
            "in a window of its own.",
        )


def _authority(origin: str) -> str:
    """Return host and port of *origin*; that of `null` is empty. A proxy may have changed the scheme."""
    return origin.lower().partition("://")[2]


def _host_name(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        if parts.port == 0:
            return None
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
