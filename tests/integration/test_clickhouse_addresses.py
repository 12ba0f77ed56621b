"""ClickHouse behind a path, with a login in the URL, with a private CA, and with proxies in the environment."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from deploy.cli import main
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import CertificateError, UnavailableError
from processors.clickhouse.migrate import _create_database
from schemas.addresses import http_url
from schemas.settings import ClickHouseSettings, load
from tests.support.http_proxies import ForwardProxy, ReverseProxy
from tests.support.services import embedded_clickhouse, running

PASSWORD = "se@s/a#me"
ENCODED = "se%40s%2Fa%23me"
HOST = "clickhouse.example"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's own proxies."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a ClickHouse whose user has a password."""
    service = embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))
    passwords = {"SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": PASSWORD, "SEQUENCE_LOCAL_ANALYST_PASSWORD": "of-the-analyst"}
    service.environ = {**service.environ, **passwords}
    with running(service):
        yield http_url(service.address).without_login


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def tls_server(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


def migrate(**variables: str) -> str:
    """Run `sequence tables migrate` and return what it printed, after its exit code."""
    environ = {f"SEQUENCE_CLICKHOUSE_{name}": value for name, value in variables.items()}
    result = CliRunner().invoke(main, ["tables", "migrate"], env=environ)
    return f"{result.exit_code} {result.output}"


def one(**variables: str) -> int:
    """Return what `SELECT 1` returns with these settings."""
    settings = load(ClickHouseSettings, {f"SEQUENCE_CLICKHOUSE_{name}": value for name, value in variables.items()})
    clickhouse = ClickHouse(settings, database="default")
    try:
        return int(clickhouse.query("SELECT 1 AS one")[0]["one"])
    finally:
        clickhouse.close()


@pytest.mark.parametrize("prefix", ["/clickhouse/", "/a/b"])
def test_every_request_goes_to_the_path_of_the_url(server: str, prefix: str) -> None:
    with ReverseProxy(server, prefix) as proxy:
        url = f"http://default:{ENCODED}@127.0.0.1:{proxy.port}{prefix}"
        database = f"path_{len(prefix)}"
        assert migrate(URL=url, DATABASE=database).startswith("0 To apply: 0001_")
        assert migrate(URL=url, DATABASE=database) == "0 No migrations to apply.\n"
        clickhouse = ClickHouse(load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_URL": url}), database=database)
        clickhouse.execute("INSERT INTO schema_migrations (name) FORMAT JSONEachRow", b'{"name":"x"}')
        assert clickhouse.query("SELECT name FROM schema_migrations WHERE name = 'x'") == [{"name": "x"}]
        assert clickhouse.clock() > 1_700_000_000
        clickhouse.close()
        assert proxy.requests > 10


@pytest.mark.parametrize("path", ["", "/", "/clickhouse", "/other/"])
def test_control_reverse_proxy_answers_nothing_outside_its_path(
    server: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(_create_database.retry, "stop", lambda _: True)
    with ReverseProxy(server, "/clickhouse/") as proxy:
        printed = migrate(URL=f"http://127.0.0.1:{proxy.port}{path}", PASSWORD=PASSWORD)
        assert proxy.requests == 0

    assert printed.startswith(
        f"1 Error: ClickHouse at http://127.0.0.1:{proxy.port}{path} was not available for 30 s: "
    )
    assert "HTTP status 404, server response: the reverse proxy has nothing here" in printed


def test_password_of_the_url_appears_in_no_message(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_create_database.retry, "stop", lambda _: True)
    wrong = migrate(URL=server.replace("//", "//default:sesame@"))
    unreachable = migrate(URL="http://default:sesame@127.0.0.1:1/clickhouse/")
    differs = migrate(URL="http://default:sesame@127.0.0.1:1", PASSWORD="other")

    assert wrong.startswith("1 Error: ")
    assert unreachable.startswith("1 Error: ClickHouse at http://127.0.0.1:1/clickhouse/ was not available")
    assert differs.startswith("2 Error: SEQUENCE_CLICKHOUSE_PASSWORD: differs from the password in")
    assert "sesame" not in wrong + unreachable + differs


def test_private_ca_verifies_the_server(server: str, authority: trustme.CA, ca_file: str) -> None:
    with ReverseProxy(server, context=tls_server(authority, "127.0.0.1", "localhost")) as proxy:
        for host in ("127.0.0.1", "localhost"):
            assert one(URL=f"https://{host}:{proxy.port}", PASSWORD=PASSWORD, CA_FILE=ca_file) == 1


@pytest.mark.parametrize(
    ("names", "with_ca", "reason"),
    [
        (["127.0.0.1"], False, "unable to get local issuer certificate"),
        (["other.example"], True, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
    ids=["unknown CA", "other host"],
)
def test_unverified_certificate_is_named_at_once(
    server: str, authority: trustme.CA, ca_file: str, names: list[str], reason: str, *, with_ca: bool
) -> None:
    with ReverseProxy(server, context=tls_server(authority, *names)) as proxy:
        printed = migrate(URL=f"https://127.0.0.1:{proxy.port}", PASSWORD=PASSWORD, CA_FILE=ca_file if with_ca else "")
        assert proxy.requests == 0
        assert _create_database.retry.statistics["attempt_number"] == 1
        with pytest.raises(CertificateError):
            one(URL=f"https://127.0.0.1:{proxy.port}", PASSWORD=PASSWORD)

    assert printed == (
        f"1 Error: The certificate of ClickHouse at https://127.0.0.1:{proxy.port} cannot be verified: {reason}. Check "
        "the certificate, SEQUENCE_CLICKHOUSE_CA_FILE and the host name in SEQUENCE_CLICKHOUSE_URL.\n"
    )


def test_ca_file_that_is_replaced_verifies_the_next_connection(
    server: str, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    with ReverseProxy(server, context=tls_server(authority, "127.0.0.1")) as proxy:
        settings = ClickHouseSettings(f"https://127.0.0.1:{proxy.port}", password=PASSWORD, ca_file=str(file))
        clickhouse = ClickHouse(settings, database="default")
        with pytest.raises(CertificateError):
            clickhouse.query("SELECT 1")
        authority.cert_pem.write_to_path(file)
        assert clickhouse.query("SELECT 1 AS one") == [{"one": 1}]
        clickhouse.close()


def client_files(issued: trustme.LeafCert, directory: Path) -> dict[str, str]:
    """Write the certificate of a client, and return the settings that name it."""
    issued.cert_chain_pems[0].write_to_path(directory / "client.crt")
    issued.private_key_pem.write_to_path(directory / "client.key")
    return {"CERT_FILE": str(directory / "client.crt"), "KEY_FILE": str(directory / "client.key")}


def test_server_that_requires_a_certificate_gets_that_of_the_settings(
    server: str, authority: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    context = tls_server(authority, "127.0.0.1")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with ReverseProxy(server, context=context) as proxy:
        common = {"URL": f"https://127.0.0.1:{proxy.port}", "PASSWORD": PASSWORD, "CA_FILE": ca_file}
        files = client_files(authority.issue_cert("sink"), tmp_path)
        assert one(**common, **files) == 1
        analyst = {"ANALYST_PASSWORD": "of-the-analyst", "DATABASE": "default"}
        variables = {f"SEQUENCE_CLICKHOUSE_{name}": value for name, value in (common | files | analyst).items()}
        shown = CliRunner().invoke(main, ["sql", "SELECT 1"], env=variables)
        assert (shown.exit_code, shown.output) == (0, "1\n"), shown.output
        with pytest.raises(UnavailableError):
            one(**common)


def test_unreadable_ca_file_ends_the_command(tmp_path: Path) -> None:
    printed = migrate(URL="https://127.0.0.1:1", CA_FILE=str(tmp_path / "ca.pem"))

    assert printed.startswith(f"2 Error: SEQUENCE_CLICKHOUSE_CA_FILE: cannot be read, got '{tmp_path}/ca.pem': No such")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("no_proxy", [None, "clickhouse.example"])
def test_loopback_is_never_asked_through_a_proxy(
    server: str, monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str | None
) -> None:
    with ForwardProxy() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
        if no_proxy is not None:
            monkeypatch.setenv("NO_PROXY", no_proxy)
        assert one(URL=server.replace("127.0.0.1", host), PASSWORD=PASSWORD) == 1
        assert proxy.heads == []


def test_ipv6_loopback_is_never_asked_through_a_proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ReverseProxy(server, host="::1") as upstream, ForwardProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        assert one(URL=f"http://[::1]:{upstream.port}", PASSWORD=PASSWORD) == 1
        assert proxy.heads == []


def test_control_without_the_check_loopback_is_asked_through_the_proxy(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.clickhouse.proxy.is_loopback", lambda _: False)
    with ForwardProxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        with pytest.raises(UnavailableError, match="502"):
            one(URL=server, PASSWORD=PASSWORD)
        assert proxy.heads != []


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_another_machine_is_asked_through_the_proxy(
    server: str, authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    scheme = "https" if tls else "http"
    context = tls_server(authority, HOST) if tls else None
    with ReverseProxy(server, "/ch/", context) as upstream, ForwardProxy(upstream.port) as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://ada:{ENCODED}@{proxy.address}")
        assert one(URL=f"{scheme}://{HOST}:8123/ch/", PASSWORD=PASSWORD, CA_FILE=ca_file) == 1

        assert proxy.heads[0].startswith(f"CONNECT {HOST}:8123 " if tls else f"POST http://{HOST}:8123/ch/?")
        assert "\r\nproxy-authorization: basic " in proxy.heads[0].lower()
        assert upstream.requests > 0


def test_proxy_that_fails_is_named_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with ForwardProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with pytest.raises(UnavailableError, match="502"):
            one(URL=f"https://{HOST}:8443")


def test_proxy_of_another_kind_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1080")

    assert migrate(URL=f"http://{HOST}").startswith("2 Error: HTTP_PROXY: must be the http:// address of a proxy.")
