"""Addresses that the gateway listens on: IPv6, and both IP versions on one socket."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from deploy.docker.health import gateway_endpoint, unready_reason
from gateway.http.listener import make_site
from gateway.settings import GatewaySettings
from tests.integration.served import BEARER, Served, serving, track


async def accepts(gateway: Served, host: str) -> bool:
    """Return whether a client at *host* gets an item accepted."""
    url = f"http://{host}:{gateway.port}/b"
    try:
        async with gateway.session.post(url, json={"batch": [track()]}, headers=BEARER) as reply:
            return reply.status == 200
    except aiohttp.ClientConnectorError:
        return False


@pytest.mark.parametrize(
    ("listens", "ipv4", "ipv6"),
    [
        ("::", True, True),
        ("[::]", True, True),
        ("0:0::0", True, True),
        ("::1", False, True),
        ("[::1]", False, True),
        ("0.0.0.0", True, False),  # noqa: S104  # for the length of a test
        ("127.0.0.1", True, False),
    ],
)
async def test_gateway_accepts_clients_of_the_versions_it_listens_on(listens: str, *, ipv4: bool, ipv6: bool) -> None:
    settings = GatewaySettings(host=listens)
    async with serving(settings) as gateway:
        assert (await accepts(gateway, "127.0.0.1"), await accepts(gateway, "[::1]")) == (ipv4, ipv6)
        healthy = await asyncio.to_thread(
            unready_reason, gateway_endpoint(GatewaySettings(host=listens, port=gateway.port))
        )
        assert healthy == ""


async def test_control_listener_of_asyncio_on_ipv6_accepts_no_ipv4_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain_site(runner: web.AppRunner, settings: GatewaySettings) -> web.BaseSite:
        return web.TCPSite(runner, settings.host, settings.port)

    monkeypatch.setattr("tests.integration.served.make_site", plain_site)
    async with serving(GatewaySettings(host="::")) as gateway:
        assert (await accepts(gateway, "127.0.0.1"), await accepts(gateway, "[::1]")) == (False, True)


@pytest.mark.parametrize(
    ("trusted", "hsts"),
    [("127.0.0.1", True), ("127.0.0.0/8", True), ("::ffff:127.0.0.1", True), ("::/0", False), ("10.0.0.0/8", False)],
)
async def test_ipv4_proxy_is_recognized_on_a_socket_for_both_versions(trusted: str, *, hsts: bool) -> None:
    async with serving(GatewaySettings(host="::", trusted_proxies=trusted)) as gateway:
        answer = await gateway.post("/b", {"batch": [track()]}, headers=BEARER | {"X-Forwarded-Proto": "https"})

    assert ("Strict-Transport-Security" in answer.headers) is hsts


async def test_port_of_both_versions_that_is_in_use_is_an_error() -> None:
    async with serving(GatewaySettings(host="::")) as gateway:
        runner = web.AppRunner(web.Application())
        await runner.setup()
        with pytest.raises(OSError, match="in use"):
            await make_site(runner, GatewaySettings(host="::", port=gateway.port)).start()
        await runner.cleanup()
