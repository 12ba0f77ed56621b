"""The ID of a request: in every response, in errors, in the log and on `rejected.v1`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.settings import GatewaySettings
from schemas.projects import digest
from tests.integration.served import BEARER, ITEMS, REJECTED, TOKEN, Answer, Served, serving, track

HEADER = "X-Request-Id"


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving(GatewaySettings(cors_origins="https://a.example")) as served:
        yield served


async def responses(gateway: Served, headers: dict[str, str]) -> list[Answer]:
    origin = {"Origin": "https://a.example"}
    return [
        await gateway.post("/b", {"batch": [track()]}, headers=BEARER | headers),
        await gateway.post("/b", {"batch": [{"type": "page", "userId": "u"}]}, headers=BEARER | headers),
        await gateway.post("/b", {"batch": [7]}, headers=BEARER | headers),
        await gateway.post("/b", b"{", headers=BEARER | headers),
        await gateway.post("/b", {"batch": [track()]}, headers=headers),
        await gateway.post("/b", {"batch": [track()]}, headers=BEARER | {"Expect": "more"} | headers),
        await gateway.post("/b", None, headers=origin | headers, method="OPTIONS"),
        await gateway.post("/b/", None, headers=headers, method="OPTIONS"),
        await gateway.post("/nothing", None, headers=headers),
        await gateway.post("/b", None, headers=headers, method="GET"),
        await gateway.post("/health/live", None, headers=headers, method="GET"),
        await gateway.post("/health/ready", None, headers=headers, method="GET"),
        await gateway.post("/metrics", None, headers=headers, method="GET"),
        await gateway.post("/openapi.json", None, headers=headers, method="GET"),
    ]


async def test_every_response_has_an_id_of_its_own_that_errors_repeat(gateway: Served) -> None:
    answers = await responses(gateway, {})
    ids = [answer.headers[HEADER] for answer in answers]

    assert [answer.status for answer in answers] == [200, 200, 400, 400, 401, 417, 204, 403, 404, 405, *[200] * 4]
    assert len(set(ids)) == len(ids)
    for answer in answers:
        if answer.status >= 400:
            assert answer.json["requestId"] == answer.headers[HEADER]


async def test_id_of_the_sender_is_kept(gateway: Served) -> None:
    answers = await responses(gateway, {HEADER: "trace-1"})

    assert {answer.headers[HEADER] for answer in answers} == {"trace-1"}
    assert {answer.json["requestId"] for answer in answers if answer.status >= 400} == {"trace-1"}


async def test_malformed_http_has_an_id(gateway: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GARBAGE\r\n\r\n")
    async with asyncio.timeout(5):
        reply = await reader.read()
    writer.close()

    [line] = [line for line in reply.split(b"\r\n") if line.startswith(b"X-Request-Id: ")]
    assert line.partition(b": ")[2] in reply.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(("given", "kept"), [("trace-1", True), ("two words", False), ("x" * 129, False)])
async def test_rejected_items_have_the_id_of_their_request(gateway: Served, given: str, *, kept: bool) -> None:
    answer = await gateway.post("/b", {"batch": [track(), 7, {"type": "page"}]}, headers=BEARER | {HEADER: given})

    request_id = answer.headers[HEADER]
    assert (request_id == given) == kept
    assert [item["requestId"] for item in gateway.written(REJECTED)] == [request_id] * 2


async def test_records_name_the_token_of_their_request(gateway: Served) -> None:
    await gateway.post("/b", {"batch": [track(), 7]}, headers=BEARER)
    await gateway.post("/b", {"batch": [track(), 7], "writeKey": TOKEN}, headers={})

    token_id = digest(TOKEN)[:16]
    assert [item["tokenId"] for item in gateway.written(ITEMS)] == [token_id] * 2
    assert [item["tokenId"] for item in gateway.written(REJECTED)] == [token_id] * 2


async def test_unexpected_error_is_logged_with_the_id(
    gateway: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(records: object) -> None:
        raise KeyError(f"{records}")

    monkeypatch.setattr(gateway.publisher, "publish", break_down)

    answer = await gateway.post("/b", {"batch": [track()]}, headers=BEARER | {HEADER: "trace-1"})

    assert (answer.status, answer.json["requestId"]) == (503, "trace-1")
    assert "request trace-1 failed with an unexpected KeyError" in caplog.text
