"""Origins as people write them, and which origins of pages they allow."""

from __future__ import annotations

import pytest

from gateway.origins import check_origins, matcher

SUBDOMAINS = "https://*.shop.example"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("shop.example", "has no scheme"),
        ("localhost:3000", "has no scheme"),
        ("*.shop.example", "has no scheme"),
        ("https://a.example/page", "has more than a scheme, a host and a port"),
        ("https://a.example?x", "has more than a scheme, a host and a port"),
        ("https://user@a.example", "has more than a scheme, a host and a port"),
        ("https://a.example:443;https://b.example", "has more than a scheme, a host and a port"),
        ("https://a b.example", "has no valid host name"),
        ("https://a..example", "has no valid host name"),
        ("https://shop*.example.com", "has a `*` elsewhere than as the first part"),
        ("https://*.*.example.com", "has a `*` elsewhere than as the first part"),
        ("https://*", "has a `*` elsewhere than as the first part"),
        ("https://*.example", "would allow every host of a top-level domain"),
        ("https://münchen.example", "has a host with letters beyond ASCII"),
        ("http://[::g]", "has no valid IPv6 address"),
        ("http://localhost:0", "has no port between 1 and 65535"),
        ("http://localhost:65536", "has no port between 1 and 65535"),
        ("file://", "has no host; pages that are opened from a file send the origin `null`"),
        ("https://", "has no host"),
    ],
)
def test_origin_that_no_page_can_have_is_rejected_by_name(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match="must be origins such as") as caught:
        check_origins(f"https://fine.example, {text}")

    assert f"`{text}` {fault}" in str(caught.value)
    assert "fine.example" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("https://a.example", ["https://a.example"]),
        (" https://a.example, http://localhost:3000/ ,capacitor://localhost,", ["http://localhost:3000"]),
        ("capacitor://localhost", ["capacitor://localhost"]),
        ("chrome-extension://abcdefghijklmnop", ["chrome-extension://abcdefghijklmnop"]),
        ("HTTPS://Shop.Example", ["https://shop.example"]),
        ("https://a.example:443,http://b.example:80", ["https://a.example", "http://b.example"]),
        ("http://[::1]:3000", ["http://[::1]:3000"]),
        (SUBDOMAINS, ["https://www.shop.example", "https://a.b-c.shop.example", "https://xn--mnchen-3ya.shop.example"]),
        ("https://*.shop.example:8443", ["https://www.shop.example:8443"]),
        ("http://localhost:*", ["http://localhost", "http://localhost:3000", "http://localhost:65535"]),
        ("http://*.localhost:*", ["http://shop.localhost:3000"]),
        ("null", ["null"]),
        ("*", ["null", "https://a.example", "http://localhost:3000", "capacitor://localhost"]),
    ],
)
def test_origin_of_a_page_is_allowed(text: str, allowed: list[str]) -> None:
    allows = matcher(text)

    assert allows is not None
    assert [origin for origin in allowed if not allows(origin)] == []


@pytest.mark.parametrize(
    ("text", "others"),
    [
        (
            "https://a.example",
            ["http://a.example", "https://a.example:8443", "https://www.a.example", "https://aXexample"],
        ),
        (
            SUBDOMAINS,
            [
                "https://shop.example",
                "http://www.shop.example",
                "https://evilshop.example",
                "https://www.shop.example.evil.example",
                "https://evil.example/.shop.example",
                "https://evil.example#.shop.example",
                "https://user@www.shop.example",
                "https://www.shop.example:8443",
                "https://.shop.example",
                "https://www.shop.example\n",
                "https://" + "a." * 400 + "shop.example",
            ],
        ),
        ("http://localhost:*", ["https://localhost", "http://localhost:", "http://localhost:3000.evil.example"]),
        ("null", ["https://null", "nul", ""]),
        ("*", ["", "garbage", "https://a b"]),
    ],
)
def test_other_origins_are_not_allowed(text: str, others: list[str]) -> None:
    allows = matcher(text)

    assert allows is not None
    assert [origin for origin in others if allows(origin)] == []


def test_empty_setting_allows_no_origin() -> None:
    assert [matcher(text) for text in ("", " , ")] == [None, None]
