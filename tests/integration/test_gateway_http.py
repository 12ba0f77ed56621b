"""The HTTP contract, request by request, with an in-memory publisher."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest

from gateway.http.paths import INGEST_PATHS
from gateway.http.responses import HEADERS
from gateway.settings import GatewaySettings
from schemas.projects import Project, describe_token, digest, encode_entry, new_creation
from tests.integration.served import BEARER, ITEMS, OTHER_TOKEN, REJECTED, TOKEN, Served, identify, serving, track


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def basic(user: str, password: str = "") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("path", [path for path, kind in INGEST_PATHS.items() if kind is None])
async def test_batch_is_published_and_each_item_has_its_result(gateway: Served, path: str) -> None:
    answer = await gateway.post(path, {"batch": [track(messageId="m-1", properties={"price": 1.50}), identify()]})

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.json["success"], answer.json["accepted"], answer.json["rejected"]) == (True, 2, 0)
    assert answer.json["items"][0] == {"index": 0, "messageId": "m-1", "status": "accepted"}
    assert [key for key, _ in gateway.publisher.records(ITEMS) if b"m-1" in key] == [b"dev/m-1"]
    written = {item["type"]: item for item in gateway.written()}
    assert written["track"]["projectId"] == "dev"
    assert written["track"]["properties"] == {"price": 1.5}
    assert written["identify"]["messageId"] == answer.json["items"][1]["messageId"]


@pytest.mark.parametrize(("path", "kind"), [each for each in INGEST_PATHS.items() if each[1] in {"track", "identify"}])
async def test_path_determines_the_type_of_a_single_item(gateway: Served, path: str, kind: str) -> None:
    answer = await gateway.post(path, {"userId": "u", "event": "Clicked", "messageId": "m"})

    assert answer.status == 200
    assert [item["type"] for item in gateway.written()] == [kind]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer  {TOKEN} "},
        basic(TOKEN),
        {"Authentication": f"Bearer {TOKEN}"},
        {"Authentication": f"Bearer {TOKEN}"} | basic(TOKEN),
        {"Authorization": "Digest x", "Authentication": f"Bearer {TOKEN}"},
    ],
)
async def test_token_is_accepted_in_every_header(gateway: Served, headers: dict[str, str]) -> None:
    assert (await gateway.post("/b", {"batch": [track()]}, headers=headers)).status == 200


async def test_token_is_accepted_in_the_body(gateway: Served) -> None:
    body = {"batch": [track()], "writeKey": TOKEN}

    assert (await gateway.post("/b", body, headers={})).status == 200
    assert (await gateway.post("/b", body, headers=basic(TOKEN))).status == 200
    assert (await gateway.post("/v1/track", track(writeKey=TOKEN), headers={})).status == 200


@pytest.mark.parametrize(
    ("headers", "write_key"),
    [
        ({}, None),
        ({}, "seq_dev_unknown-unknown"),
        ({"Authorization": "Bearer seq_dev_unknown-unknown"}, None),
        ({"Authorization": "Bearer "}, None),
        ({"Authorization": f"Digest {TOKEN}"}, None),
        ({"Authorization": "Basic !!!"}, None),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff:").decode()}, None),
        (basic(""), None),
        ({"Authorization": f"Bearer {TOKEN}", "Authentication": f"Bearer {OTHER_TOKEN}"}, None),
        (BEARER, OTHER_TOKEN),
        ({"Authorization": "Bearer \udcff0123456789abcdef"}, None),
    ],
)
async def test_every_invalid_token_gets_the_same_401(
    gateway: Served, headers: dict[str, str], write_key: str | None
) -> None:
    answer = await gateway.post("/b", {"batch": [track()], "writeKey": write_key}, headers=headers)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["code"] == "unauthorized"
    assert (
        answer.json["message"]
        == (await gateway.post("/b", b"{", headers={"Authorization": "Bearer x"})).json["message"]
    )
    assert gateway.written() == []


async def test_read_only_token_is_unauthorized(gateway: Served) -> None:
    token = "seq_dev_reads-0123456789"
    entry = describe_token(token, "dev", created_at=0, scope="read")
    gateway.projects.table.apply(*encode_entry(entry, digest(token), new_creation()))

    answer = await gateway.post("/b", {"batch": [track()]}, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status, answer.json["code"]) == (401, "unauthorized")


async def test_expired_tokens_and_disabled_projects_are_rejected(gateway: Served) -> None:
    gateway.projects.add(Project("old", "Old", 0), "seq_old_0123456789abcdef", expires_at=1)
    gateway.projects.add(Project("off", "Off", 0, disabled=True), "seq_off_0123456789abcdef")

    expired = await gateway.post(
        "/b", {"batch": [track()]}, headers={"Authorization": "Bearer seq_old_0123456789abcdef"}
    )
    disabled = await gateway.post(
        "/b", {"batch": [track()]}, headers={"Authorization": "Bearer seq_off_0123456789abcdef"}
    )

    assert (expired.status, expired.json["code"]) == (401, "unauthorized")
    assert (disabled.status, disabled.json["code"]) == (403, "project_disabled")


async def test_invalid_item_of_a_batch_is_rejected_and_stored_alone(gateway: Served) -> None:
    items = [track(messageId=f"m-{number}") for number in range(100)]
    items[42] = {"type": "track", "event": "No user", "messageId": "bad", "properties": {"kept": "whole"}}

    answer = await gateway.post("/event/batch", {"batch": items})

    assert answer.status == 200
    assert (answer.json["accepted"], answer.json["rejected"]) == (99, 1)
    assert [item["index"] for item in answer.json["items"]] == list(range(100))
    rejected = answer.json["items"][42]
    assert (rejected["status"], rejected["code"], rejected["field"]) == ("rejected", "user_id_required", "userId")
    assert rejected["messageId"] == "bad"
    assert len(gateway.written()) == 99
    (rejection,) = gateway.written(REJECTED)
    assert (rejection["projectId"], rejection["stage"], rejection["code"]) == ("dev", "gateway", "user_id_required")
    assert '"kept": "whole"' in rejection["content"]


async def test_verbose_0_lists_rejected_items_only(gateway: Served) -> None:
    good = await gateway.post("/b?verbose=0", {"batch": [track(), track()]})
    mixed = await gateway.post("/b?verbose=0", {"batch": [track(), {"type": "page", "userId": "u"}]})

    assert good.json == {"success": True, "accepted": 2, "rejected": 0}
    assert [item["code"] for item in mixed.json["items"]] == ["unsupported_type"]


async def test_batch_of_rejected_items_is_a_400_and_is_stored(gateway: Served) -> None:
    answer = await gateway.post("/b", {"batch": [{"type": "page", "userId": "u"}, 7]})

    assert answer.status == 400
    assert (answer.json["success"], answer.json["accepted"], answer.json["rejected"]) == (False, 0, 2)
    assert answer.json["code"] == "every_item_rejected"
    assert answer.json["message"]
    assert answer.json["requestId"]
    assert [item["index"] for item in answer.json["items"]] == [0, 1]
    assert len(gateway.written(REJECTED)) == 2


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"batch":{}}', b'{"batch":[]}', b'{"batch":["\xff"]}', b'{"batch":[1]} x']
)
async def test_malformed_batch_is_a_400(gateway: Served, body: bytes) -> None:
    answer = await gateway.post("/event/batch", body)

    assert answer.status == 400
    assert set(answer.json) == {"code", "message", "requestId"}
    assert gateway.publisher.written == {}


async def test_batch_above_the_item_limit_is_a_413() -> None:
    async with serving(GatewaySettings(batch_limit_items=3)) as gateway:
        answer = await gateway.post("/b", {"batch": [track()] * 4})

        assert (answer.status, answer.json["code"]) == (413, "too_many_items")
        assert (await gateway.post("/b", {"batch": [track()] * 3})).status == 200


async def test_unknown_paths_and_methods_have_the_json_form_of_errors(gateway: Served) -> None:
    missing = await gateway.get("/nothing")
    wrong = await gateway.get("/event/batch")

    assert (missing.status, missing.json["code"]) == (404, "not_found")
    assert (wrong.status, wrong.json["code"], wrong.headers["Allow"]) == (405, "method_not_allowed", "POST")
    assert set(missing.json) == set(wrong.json) == {"code", "message", "requestId"}


async def test_project_above_its_rate_gets_retry_after_and_nothing_is_stored(gateway: Served) -> None:
    gateway.projects.add(Project("slow", "Slow", 0, items_per_second=0.1, burst=2), "seq_slow_0123456789abcdef")
    headers = {"Authorization": "Bearer seq_slow_0123456789abcdef"}

    assert (await gateway.post("/b", {"batch": [track(), track()]}, headers=headers)).status == 200
    answer = await gateway.post("/b", {"batch": [track()]}, headers=headers)

    assert (answer.status, answer.json["code"]) == (429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    assert len(gateway.written()) == 2
    assert (await gateway.post("/b", {"batch": [track()]})).status == 200


async def test_unreachable_or_overloaded_kafka_is_a_503_with_retry_after(gateway: Served) -> None:
    gateway.publisher.reachable = False
    answer = await gateway.post("/b", {"batch": [track()]})
    assert (answer.status, answer.json["code"]) == (503, "not_acknowledged")
    assert int(answer.headers["Retry-After"]) >= 1

    gateway.publisher.reachable = True
    gateway.publisher.overloaded = True
    answer = await gateway.post("/b", {"batch": [track()]})
    assert (answer.status, answer.json["code"]) == (503, "overloaded")


async def test_missing_acknowledgement_is_a_503_after_the_timeout() -> None:
    async with serving(GatewaySettings(publish_timeout_seconds=0.2)) as gateway:
        gateway.publisher.hold()

        answer = await gateway.post("/b", {"batch": [track()]})

        assert (answer.status, answer.json["code"]) == (503, "not_acknowledged_in_time")


async def test_gateway_is_alive_but_not_ready_with_a_stale_registry(gateway: Served) -> None:
    assert (await gateway.get("/health/live")).status == 200
    assert (await gateway.get("/health/ready")).status == 200

    gateway.projects.is_current = False

    assert (await gateway.get("/health/live")).status == 200
    assert (await gateway.get("/health/ready")).status == 503


async def test_gateway_is_not_ready_without_kafka(gateway: Served) -> None:
    gateway.publisher.reachable = False

    answer = await gateway.get("/health/ready")

    assert answer.status == 503
    assert answer.json["code"]


async def test_metrics_count_requests_and_items(gateway: Served) -> None:
    await gateway.post("/b", {"batch": [track(), {"type": "page", "userId": "u"}]})
    await gateway.post("/b", b"{")

    metrics = (await gateway.get("/metrics")).body.decode()

    assert 'sequence_gateway_requests_total{status="200"} 1.0' in metrics
    assert 'sequence_gateway_requests_total{status="400"} 1.0' in metrics
    assert "sequence_gateway_accepted_items_total 1.0" in metrics
    assert 'sequence_gateway_rejected_items_total{code="unsupported_type"} 1.0' in metrics
    for verdict in ("accepted", "rejected"):
        assert f'sequence_gateway_project_items_total{{project="dev",verdict="{verdict}"}} 1.0' in metrics
    assert "sequence_gateway_in_flight_bytes 0.0" in metrics


async def test_every_response_has_the_common_headers(gateway: Served) -> None:
    answers = [
        await gateway.get("/health/live"),
        await gateway.get("/nothing"),
        await gateway.get("/metrics"),
        await gateway.post("/b", {"batch": [track()]}),
    ]

    headers = {tuple(answer.headers[name] for name in HEADERS) for answer in answers}
    assert headers == {("sequence", "nosniff", "no-store")}
    assert "Strict-Transport-Security" not in answers[0].headers


async def test_unexpected_error_is_a_503_counted_and_logged_without_its_message(
    gateway: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(records: object) -> None:
        raise KeyError(f"{records}")

    monkeypatch.setattr(gateway.publisher, "publish", break_down)

    answer = await gateway.post("/b", {"batch": [track(properties={"secret": "value"})]})

    assert (answer.status, answer.json["code"]) == (503, "unexpected_error")
    assert answer.json["requestId"] in caplog.text
    assert "KeyError" in caplog.text
    assert ITEMS not in caplog.text
    assert "sequence_gateway_unexpected_errors_total 1.0" in gateway.metrics.render().decode()
