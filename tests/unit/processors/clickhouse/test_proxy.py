"""Which proxy a request to ClickHouse passes through."""

from __future__ import annotations

import base64

import pytest

from processors.clickhouse.proxy import Proxy, proxy_for
from schemas.settings import SettingsError

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST.", "ch.localhost", "::1", "::ffff:127.0.0.1"]
)
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    assert proxy_for("http", host, 8123, {"http": PROXY, "https": PROXY, "all": PROXY}) is None


@pytest.mark.parametrize("host", ["clickhouse.example", "10.0.0.1", "2001:db8::1", "localhost.example", "128.0.0.1"])
def test_another_machine_is_asked_through_the_proxy_of_the_scheme(host: str) -> None:
    assert proxy_for("http", host, 8123, {"http": PROXY}) == Proxy(PROXY, "")
    assert proxy_for("https", host, 8443, {"http": PROXY}) is None
    assert proxy_for("https", host, 8443, {"all": PROXY}) is None


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("*", "ch.example"),
        ("other, ch.example", "ch.example"),
        ("example", "ch.example"),
        (".example", "ch.example"),
        ("*.example", "CH.Example"),
        ("ch.example:8123", "ch.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("2001:db8::/32", "2001:db8::1"),
        ("[2001:db8::1]:8123", "2001:db8::1"),
    ],
)
def test_host_in_no_proxy_is_connected_to_directly(no_proxy: str, host: str) -> None:
    assert proxy_for("http", host, 8123, {"http": PROXY, "no": no_proxy}) is None


@pytest.mark.parametrize("no_proxy", ["", "example.com", "ch.example:8443", "h.example", "10.0.0.0/8", "nonsense/8"])
def test_host_outside_no_proxy_uses_the_proxy(no_proxy: str) -> None:
    assert proxy_for("http", "ch.example", 8123, {"http": PROXY, "no": no_proxy}) == Proxy(PROXY, "")


def test_login_of_the_proxy_is_sent_and_is_no_part_of_its_address() -> None:
    proxy = proxy_for("http", "ch.example", 8123, {"http": "ada:se%40me@[::1]:3128"})

    assert proxy == Proxy("http://[::1]:3128", f"Basic {base64.b64encode(b'ada:se@me').decode()}")
    assert repr(proxy) == "Proxy(url='http://[::1]:3128')"


@pytest.mark.parametrize("address", ["socks5://ada:sesame@proxy.example", "http://", "http://proxy:port", "http://[x"])
def test_proxy_that_is_no_http_proxy_is_refused_with_its_variable(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY: must be .* add ch\.example to NO_PROXY") as caught:
        proxy_for("https", "ch.example", 8443, {"https": address})
    assert "sesame" not in str(caught.value)
