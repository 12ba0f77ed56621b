"""Which requests of browsers the console answers."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from deploy.console.errors import ForbiddenError
from deploy.console.origin import check_host, check_source, host_names

ALLOWED = host_names("events.example.com, Other.Example. ")


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.0.0.1:8090",
            "localhost",
            "LOCALHOST:9000",
            "console.localhost:1",
            "[::1]:8090",
            "10.1.2.3",
        ),
        *("events.example.com", "Events.Example.com:443", "other.example", "other.example."),
    ],
)
def test_address_localhost_and_allowed_name_are_answered(host: str) -> None:
    check_host(CIMultiDict(Host=host), ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost", ""),
        *("127.0.0.1@evil.example", "evil.example/127.0.0.1", "evil.example#localhost", "evil.example?localhost"),
        *("127.0.0.1:port", "[::1", "xevents.example.com", "events.example.com.evil.example", "a,127.0.0.1", "::1"),
    ],
)
def test_other_host_is_refused(host: str) -> None:
    with pytest.raises(ForbiddenError, match="SEQUENCE_CONSOLE_ALLOWED_HOSTS"):
        check_host(CIMultiDict(Host=host), ALLOWED)


def test_no_host_and_two_hosts_are_refused() -> None:
    for headers in (CIMultiDict[str](), CIMultiDict([("Host", "127.0.0.1"), ("Host", "evil.example")])):
        with pytest.raises(ForbiddenError):
            check_host(headers, ALLOWED)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8090"},
        {"Origin": "https://127.0.0.1:8090"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_program_and_own_page_may_ask(headers: dict[str, str]) -> None:
    check_source("POST", CIMultiDict(Host="127.0.0.1:8090", **headers), is_page=False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_page_of_another_origin_may_not_ask(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenError, match="another page"):
        check_source(method, CIMultiDict(Host="127.0.0.1:8090", **headers), is_page=False)


def test_link_on_another_site_may_be_followed_to_the_page_only() -> None:
    link = CIMultiDict({"Host": "127.0.0.1:8090", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})

    check_source("GET", link, is_page=True)
    for method, is_page in (("POST", True), ("GET", False)):
        with pytest.raises(ForbiddenError):
            check_source(method, link, is_page=is_page)
