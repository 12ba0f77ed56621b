"""The gateway with a TLS certificate, and HSTS behind a proxy."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import trustme

from deploy.docker.health import gateway_endpoint, unready_reason
from deploy.local.quickstart import Commands, quickstart
from deploy.local.services import Services
from gateway.http.tls import tls_context
from gateway.settings import GatewaySettings
from schemas.settings import SettingsError, environment, load
from tests.integration.served import BEARER, serving, track


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def settings(authority: trustme.CA, tmp_path: Path) -> GatewaySettings:
    """Settings with a certificate for 127.0.0.1."""
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return GatewaySettings(tls_certificate_file=str(certificate), tls_key_file=str(key))


async def connect(url: str, context: ssl.SSLContext) -> None:
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context):
        pass


async def test_gateway_with_a_certificate_accepts_tls_only(settings: GatewaySettings, authority: trustme.CA) -> None:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with serving(settings) as gateway:
        url = f"https://127.0.0.1:{gateway.port}/b"
        async with gateway.session.post(url, json={"batch": [track()]}, headers=BEARER, ssl=trusted) as reply:
            assert reply.status == 200
            assert reply.headers["Strict-Transport-Security"] == "max-age=31536000"
        with pytest.raises(aiohttp.ClientConnectionError):
            await gateway.post("/b", {"batch": [track()]})

    assert len(gateway.written()) == 1


async def test_next_connection_gets_the_renewed_certificate(settings: GatewaySettings, authority: trustme.CA) -> None:
    other = trustme.CA()
    renewed = other.issue_cert("127.0.0.1")
    trusted = [ssl.create_default_context(cadata=each.cert_pem.bytes().decode()) for each in (authority, other)]
    async with serving(settings) as gateway:
        url = f"https://127.0.0.1:{gateway.port}/health/live"
        await connect(url, trusted[0])
        renewed.cert_chain_pems[0].write_to_path(settings.tls_certificate_file)
        renewed.private_key_pem.write_to_path(settings.tls_key_file)
        await connect(url, trusted[1])
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await connect(url, trusted[0])


async def test_container_health_check_uses_tls(settings: GatewaySettings) -> None:
    async with serving(settings) as gateway:
        endpoint = gateway_endpoint(replace(settings, port=gateway.port))
        assert await asyncio.to_thread(unready_reason, endpoint) == ""
        gateway.projects.is_current = False
        assert "503" in await asyncio.to_thread(unready_reason, endpoint)
        plain = gateway_endpoint(GatewaySettings(port=gateway.port))
        assert "no answer" in await asyncio.to_thread(unready_reason, plain)


async def test_stack_probes_a_gateway_with_a_certificate_by_tls(settings: GatewaySettings, tmp_path: Path) -> None:
    environ = {"SEQUENCE_STATE_DIR": str(tmp_path), **environment(settings)}
    async with serving(settings) as gateway:
        [service] = Services({**environ, "SEQUENCE_GATEWAY_PORT": str(gateway.port)}).gateways()
        assert service.address == f"https://127.0.0.1:{gateway.port}"
        assert await service.probe.ready()

    post = quickstart(Commands("cat dev-token", "sequence sql"), settings).split("Send events:")[1]
    assert "curl -sS --insecure https://127.0.0.1:8080/event/batch" in post


@pytest.mark.parametrize(
    ("trusted", "forwarded_proto", "hsts"),
    [
        ("127.0.0.1", "https", True),
        ("10.0.0.0/8, 127.0.0.0/8", "https", True),
        ("127.0.0.1", "http", False),
        ("10.0.0.0/8, ::1", "https", False),
        ("::ffff:127.0.0.1", "https", True),
        ("", "https", False),
    ],
)
async def test_forwarded_proto_is_trusted_from_trusted_proxies_only(
    trusted: str, forwarded_proto: str, *, hsts: bool
) -> None:
    async with serving(GatewaySettings(trusted_proxies=trusted)) as gateway:
        answer = await gateway.post("/b", {"batch": [track()]}, headers=BEARER | {"X-Forwarded-Proto": forwarded_proto})

    assert answer.status == 200
    assert ("Strict-Transport-Security" in answer.headers) is hsts


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "127.0.0.1;::1"])
def test_invalid_proxy_address_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_GATEWAY_TRUSTED_PROXIES"):
        load(GatewaySettings, {"SEQUENCE_GATEWAY_TRUSTED_PROXIES": text})


def test_one_file_may_contain_certificate_and_key(settings: GatewaySettings, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(Path(settings.tls_key_file).read_text() + Path(settings.tls_certificate_file).read_text())

    assert tls_context(GatewaySettings(tls_certificate_file=str(both))) is not None


def test_tls_below_1_2_is_disabled(settings: GatewaySettings) -> None:
    context = tls_context(settings)

    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_unusable_file_is_named(settings: GatewaySettings, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for wrong in (
        replace(settings, tls_certificate_file=str(tmp_path / "missing.pem")),
        replace(settings, tls_certificate_file=str(tmp_path / "empty.pem")),
        replace(settings, tls_key_file=""),
        replace(settings, tls_certificate_file=""),
    ):
        with pytest.raises(SettingsError, match="SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE"):
            tls_context(wrong)
