"""CORS as browsers use it: preflights, beacons, tracing headers, patterns of origins, private networks."""

from __future__ import annotations

import pytest

from gateway.http.paths import INGEST_PATHS
from gateway.settings import GatewaySettings
from tests.integration.served import BEARER, TOKEN, Answer, Served, serving, track

PAGE = "https://b.example"
BODY = {"batch": [track()]}


async def preflight(gateway: Served, origin: str | None, path: str = "/event/batch", **asked: str) -> Answer:
    headers = {f"Access-Control-Request-{name.replace('_', '-')}": value for name, value in asked.items()}
    sent = {"Access-Control-Request-Method": "POST"} | headers | ({"Origin": origin} if origin else {})
    return await gateway.post(path, None, headers=sent, method="OPTIONS")


async def test_cors_is_off_by_default() -> None:
    async with serving() as gateway:
        answer = await preflight(gateway, PAGE, "/b")
        posted = await gateway.post("/b", BODY, headers=BEARER | {"Origin": PAGE})

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert "SEQUENCE_GATEWAY_CORS_ORIGINS" in answer.json["message"]
    assert not [name for name in (*answer.headers, *posted.headers) if name.startswith("Access-Control")]
    assert "Vary" not in posted.headers


async def test_cors_allows_the_listed_origins() -> None:
    async with serving(GatewaySettings(cors_origins="https://a.example, https://b.example/")) as gateway:
        listed, unlisted = {"Origin": PAGE}, {"Origin": "https://c.example"}
        asked = await preflight(gateway, PAGE, Headers="authorization,content-type")
        rejected = await preflight(gateway, "https://c.example")
        answer = await gateway.post("/event/batch", BODY, headers=BEARER | listed)
        error = await gateway.post("/event/batch", b"{", headers=BEARER | listed)
        other = await gateway.post("/event/batch", BODY, headers=BEARER | unlisted)

    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Methods"] == "POST"
    assert asked.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    assert asked.headers["Vary"] == (
        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network"
    )
    assert (rejected.status, rejected.json["code"]) == (403, "origin_not_allowed")
    for allowed in (asked, answer, error):
        assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
        assert allowed.headers["Access-Control-Allow-Credentials"] == "true"
    for reply in (answer, error, other):
        assert reply.headers["Vary"] == "Origin"
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After, X-Request-Id"
    assert other.status == 200
    for refused in (rejected, other):
        assert not [name for name in refused.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("origin", ["http://localhost:3000", "null", "https://a.example"])
async def test_every_origin_is_echoed_and_never_a_star_with_credentials(origin: str) -> None:
    async with serving(GatewaySettings(cors_origins="*")) as gateway:
        asked = await preflight(gateway, origin, Headers="content-type")
        posted = await gateway.post("/b", BODY, headers=BEARER | {"Origin": origin})

    for answer in (asked, posted):
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_beacon_with_json_arrives() -> None:
    """A beacon has credentials, a preflight for its type, and its token in the body."""
    async with serving(GatewaySettings(cors_origins="http://localhost:3000")) as gateway:
        origin = "http://localhost:3000"
        asked = await preflight(gateway, origin, "/v1/b", Headers="content-type")
        headers = {"Origin": origin, "Content-Type": "application/json", "Cookie": "session=1"}
        sent = await gateway.post("/v1/b", BODY | {"writeKey": TOKEN}, headers=headers)

        assert (asked.status, sent.status) == (204, 200)
        assert asked.headers["Access-Control-Allow-Credentials"] == "true"
        assert asked.headers["Access-Control-Allow-Headers"] == "content-type"
        assert len(gateway.written()) == 1


@pytest.mark.parametrize(
    "asked",
    ["authorization,baggage,sentry-trace,traceparent,x-requested-with", "x-datadog-trace-id , b3", "A" * 2048],
)
async def test_preflight_allows_the_headers_that_it_asks_for(asked: str) -> None:
    async with serving(GatewaySettings(cors_origins=PAGE)) as gateway:
        answer = await preflight(gateway, PAGE, Headers=asked)

    assert (answer.status, answer.headers["Access-Control-Allow-Headers"]) == (204, asked)


@pytest.mark.parametrize("asked", ["", "x y", "a,,b", "é", 'quoted"', "a:b", "a," * 1025 + "a"])
async def test_preflight_repeats_no_text_that_names_no_headers(asked: str) -> None:
    async with serving(GatewaySettings(cors_origins=PAGE)) as gateway:
        answer = await preflight(gateway, PAGE, Headers=asked)

    assert answer.status == 204
    assert "Access-Control-Allow-Headers" not in answer.headers


@pytest.mark.parametrize(("asked", "allowed"), [({"Private_Network": "true"}, "true"), ({}, None)])
async def test_private_network_is_allowed_when_asked_for(asked: dict[str, str], allowed: str | None) -> None:
    async with serving(GatewaySettings(cors_origins="*")) as gateway:
        answer = await preflight(gateway, "https://app.example", **asked)

    assert answer.headers.get("Access-Control-Allow-Private-Network") == allowed


async def test_pattern_allows_subdomains_and_ports() -> None:
    async with serving(GatewaySettings(cors_origins="https://*.example.com, http://localhost:*")) as gateway:
        statuses = {
            origin: (await preflight(gateway, origin)).status
            for origin in (
                *("https://www.example.com", "https://eu.www.example.com", "http://localhost:5173"),
                *("https://example.com", "https://www.example.com.evil.example", "http://127.0.0.1:5173"),
            )
        }

    assert list(statuses.values()) == [204, 204, 204, 403, 403, 403]


async def test_preflight_without_an_origin_is_a_403() -> None:
    async with serving(GatewaySettings(cors_origins="*")) as gateway:
        answer = await preflight(gateway, None)

    assert (answer.status, answer.json["code"]) == (403, "origin_not_allowed")


async def test_preflight_is_answered_on_every_ingest_path_and_its_spellings() -> None:
    async with serving(GatewaySettings(cors_origins=PAGE)) as gateway:
        paths = [spelled for path in INGEST_PATHS for spelled in (path, f"{path}/", f"/{path}")]
        statuses = {path: (await preflight(gateway, PAGE, path)).status for path in paths}
        elsewhere = await preflight(gateway, PAGE, "/metrics")
        wrong = await preflight(gateway, PAGE, "/V1/Batch")

    assert set(statuses.values()) == {204}
    assert (elsewhere.status, elsewhere.headers["Allow"]) == (405, "GET")
    # The page may read which path was meant.
    assert (wrong.status, wrong.headers["Access-Control-Allow-Origin"]) == (404, PAGE)
