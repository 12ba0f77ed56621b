"""Who gets an answer from the console: tokens, sessions, projects, origins and paths, without Kafka and ClickHouse."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from deploy.console.session import COOKIE
from deploy.console.settings import ConsoleSettings
from schemas import audit_metrics, console_metrics
from tests.integration.console.served import Reply, console

ENDPOINTS = (
    *("/api/session", "/api/events", "/api/live", "/api/rates", "/api/rejected", "/api/persons/ada"),
    *("/api/trace/m1", "/api/trace?messageId=m1", "/api/status", "/api/audit", "/api/catalog"),
    *("/api/catalog/paths?event=e", "/api/views/e", "/api/views?event=e", "/api/persons/ada/history"),
    "/api/history?userId=ada",
)
OF_A_PROJECT = tuple(path for path in ENDPOINTS if path not in {"/api/session", "/api/status", "/api/audit"})


def with_parameter(path: str, text: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{text}"


def error(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json["code"]


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_every_endpoint_refuses_a_token_that_may_not_read(path: str) -> None:
    async with console() as served:
        projects = served.projects
        for token in (None, "seq_dev_unknown_0123456789", projects.revoked, projects.expired, f"{projects.read}x", "x"):
            assert error(await served.get(path, token)) == (401, "unauthorized")
        reply = await served.get(path, projects.write)
        assert error(reply) == (403, "write_token")
        assert "sequence token create dev --scope read" in reply.json["message"]
        projects.is_loaded = False
        assert error(await served.get(path, projects.read)) == (503, "starting")


@pytest.mark.parametrize("path", OF_A_PROJECT)
@pytest.mark.parametrize("asked", ["other", "missing", "%2A", "dev%00", "DEV", "dev%2Cother", "%25"])
async def test_reader_gets_no_other_project_from_any_endpoint(path: str, asked: str) -> None:
    async with console() as served:
        reply = await served.get(with_parameter(path, f"project={asked}"), served.projects.read)
        assert error(reply) in {(403, "other_project"), (400, "invalid_parameter")}
        twice = await served.get(with_parameter(path, f"project=dev&project={asked}"), served.projects.read)
        assert error(twice) == (400, "invalid_parameter")


@pytest.mark.parametrize("path", OF_A_PROJECT)
@pytest.mark.parametrize("name", ["projectId", "Project", "project[]", "project_id", "token", "x"])
async def test_unknown_parameter_is_named(path: str, name: str) -> None:
    async with console() as served:
        reply = await served.get(with_parameter(path, f"{quote(name)}=other"), served.projects.read)
        assert error(reply) == (400, "invalid_parameter")
        assert repr(name) in reply.json["message"]


async def test_state_of_the_parts_is_for_operators() -> None:
    async with console() as served:
        assert error(await served.get("/api/status", served.projects.read)) == (403, "operators_only")
        assert (await served.get("/api/status", served.projects.operate)).status in {200, 503}
        assert error(await served.get("/api/audit", served.projects.read)) == (403, "operators_only")


async def test_servers_that_do_not_answer_are_named_with_503() -> None:
    async with console() as served:
        paths = ("/api/events", "/api/rejected", "/api/persons/ada", "/api/persons/ada/history", "/api/catalog")
        for path in (*paths, "/api/catalog/paths?event=e", "/api/views/e"):
            reply = await served.get(path, served.projects.read)
            assert error(reply) == (503, "clickhouse_unavailable")
            assert "127.0.0.1" not in reply.json["message"], "readers of a project need not know addresses"
        rates = (await served.get("/api/rates", served.projects.read)).json
        assert "ClickHouse does not answer" in rates["message"]
        assert "127.0.0.1" not in rates["message"]
        assert set(rates["accepted"]) == {None}
        assert len(rates["lag"]["sink"]) == len(rates["times"]), "the lag is known without ClickHouse"
        reply = await served.get("/api/trace/m1", served.projects.read)
        assert error(reply) == (503, "kafka_unavailable")


async def test_session_has_the_rights_of_its_token() -> None:
    async with console() as served:
        reply = await served.log_in(served.projects.read)
        assert (reply.status, reply.json["projectId"], reply.json["scope"]) == (200, "dev", "read")
        assert [each["id"] for each in reply.json["projects"]] == ["dev"]
        cookie = reply.cookies[COOKIE]
        assert served.projects.read not in cookie
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert "Domain" not in cookie

        sent = cookie.partition(";")[0]
        assert (await served.get("/api/session", Cookie=sent)).json["projectId"] == "dev"
        assert error(await served.get("/api/events?project=other", Cookie=sent)) == (403, "other_project")
        served.projects.revoke(served.projects.read)
        assert error(await served.get("/api/session", Cookie=sent)) == (401, "unauthorized")

        operator = await served.log_in(served.projects.operate)
        assert (operator.json["projectId"], operator.json["scope"]) == (None, "operate")
        assert [each["id"] for each in operator.json["projects"]] == ["dev", "other"]
        ended = await served.get("/api/session", method="DELETE", Cookie=sent)
        assert ended.status == 200
        assert re.search(r"Max-Age=0|expires=Thu, 01 Jan 1970", ended.cookies[COOKIE])


async def test_cookie_is_secure_behind_a_proxy_with_tls() -> None:
    async with console() as served:
        reply = await served.log_in(served.projects.read, X_Forwarded_Proto="https")

        assert "Secure" in reply.cookies[COOKIE].split("; ")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"token":1}', "application/json"),
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (b'{"token":"a","other":1}', "application/json"),
        (b'{"token":"a"}', "text/plain"),
        (b"token=a", "application/x-www-form-urlencoded"),
    ],
)
async def test_login_with_another_body_is_refused(body: bytes, kind: str) -> None:
    async with console() as served:
        reply = await served.get("/api/session", method="POST", data=body, Content_Type=kind)
        assert error(reply) == (400, "invalid_parameter")


async def test_login_with_an_invalid_token_is_refused() -> None:
    async with console() as served:
        for token in ("", "x", served.projects.revoked, served.projects.expired, "\ud83d\ude00", "a" * 10_000):
            assert error(await served.log_in(token)) == (401, "unauthorized")
        assert error(await served.log_in(served.projects.write)) == (403, "write_token")
        assert error(await served.log_in("a" * 20_000)) == (400, "invalid_parameter")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_page_of_another_origin_cannot_use_the_session(method: str, headers: dict[str, str]) -> None:
    async with console() as served:
        cookie = (await served.log_in(served.projects.read)).cookies[COOKIE].partition(";")[0]
        reply = await served.get("/api/session", method=method, Cookie=cookie, **headers)

        assert error(reply) == (403, "origin_not_allowed")
        assert not [name for name in reply.headers if name.lower().startswith("access-control-")]


async def test_own_page_uses_the_session() -> None:
    async with console() as served:
        own = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin"}
        cookie = (await served.log_in(served.projects.read, **own)).cookies[COOKIE].partition(";")[0]

        assert (await served.get("/api/session", Cookie=cookie, **own)).status == 200


async def test_other_name_for_this_address_is_refused() -> None:
    async with console() as served:
        for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1.evil.example"):
            for path in ("/", "/api/session", "/api/events", "/openapi.json"):
                reply = await served.get(path, served.projects.read, Host=host)
                assert error(reply) == (403, "host_not_allowed")
        assert (await served.get("/api/session", served.projects.read, Host="localhost")).status == 200
        assert (await served.get("/metrics", Host="console:8090")).status == 200, "Prometheus uses any name"
    async with console(settings=ConsoleSettings(allowed_hosts="events.example")) as served:
        assert (await served.get("/api/session", served.projects.read, Host="events.example")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/../settings.py", "/..%2fsettings.py", "/%2e%2e/%2e%2e/pyproject.toml", "/vendor/../../api.py"),
        *(
            "//etc/passwd",
            "/vendor/",
            "/api",
            "/api/",
            "/api/events/",
            "/API/events",
            "/static/index.html",
            "/.git/config",
        ),
    ],
)
async def test_path_outside_the_page_is_not_found(path: str) -> None:
    async with console() as served:
        token = served.projects.operate
        # A client would shorten the path.
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        answer = await served.send(request.encode())
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b'"code":"not_found"' in answer


async def test_every_answer_has_the_headers_of_a_careful_server() -> None:
    async with console() as served:
        for path, token in (("/", None), ("/api/session", served.projects.read), ("/api/session", None), ("/no", None)):
            headers = (await served.get(path, token)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Server"] == "sequence"
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';" if path == "/" else "default-src 'none';")
            assert headers["Cache-Control"] == ("no-cache" if path == "/" else "no-store")
            assert headers["X-Request-Id"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
async def test_other_methods_change_nothing(method: str) -> None:
    async with console() as served:
        for path in ("/api/events", "/api/persons/ada", "/"):
            reply = await served.get(path, served.projects.operate, method=method)
            assert reply.status == (405 if method != "HEAD" else 200 if path == "/" else 404)


async def test_malformed_request_is_answered_without_a_traceback() -> None:
    async with console() as served:
        for request in (
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET /%zz HTTP/1.1\r\nHost: a b\r\n\r\n",
        ):
            answer = await served.send(request)
            assert re.match(rb"HTTP/1\.[01] 4\d\d ", answer)
            assert b"Traceback" not in answer


async def test_hostile_values_are_answered_with_an_error_or_a_result() -> None:
    async with console() as served:
        for text in ("' OR 1=1 --", "\\", "{x:String}", "%", "a/b", "\U0001f600", "a" * 512, "\u202e", "\udcff"):
            value = quote(text, safe="", errors="surrogatepass")
            for name in ("search", "userId", "event", "before", "since", "limit", "verdict"):
                reply = await served.get(f"/api/events?{name}={value}", served.projects.read)
                assert reply.status in {400, 503}, (name, text)
            paths = (f"/api/persons/{value}", f"/api/persons/{value}/history", f"/api/views/{value}")
            for path in (*paths, f"/api/trace/{value}", f"/api/catalog/paths?event={value}"):
                assert (await served.get(path, served.projects.read)).status in {400, 503}, (path, text)
        failed = served.metrics.registry.get_sample_value("sequence_console_requests_total", {"status": "500"})
        assert not failed


async def test_console_is_ready_once_it_has_read_the_tokens() -> None:
    async with console() as served:
        assert (await served.get("/health/live")).json == {"status": "alive"}
        assert (await served.get("/health/ready")).json == {"status": "ready"}
        served.projects.is_loaded = False
        assert error(await served.get("/health/ready")) == (503, "starting")
        assert (await served.get("/health/live")).status == 200


async def test_metrics_are_those_that_are_declared() -> None:
    async with console() as served:
        await served.get("/api/session", served.projects.read)
        text = (await served.get("/metrics")).body.decode()

    exported = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (sequence_\S+)", text, re.MULTILINE)}
    assert exported == {
        metric.name.removesuffix("_total") for metric in (*console_metrics.CONSOLE, *audit_metrics.AUDIT)
    }
    assert 'sequence_console_requests_total{status="200"} 1.0' in text
