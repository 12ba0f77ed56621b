"""Paths as producers spell them: known ones, extra slashes, and the error of a wrong one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.http.paths import INGEST_PATHS
from tests.integration.served import REJECTED, Answer, Served, serving, track

BATCHES = [path for path, kind in INGEST_PATHS.items() if kind is None]
NOT_STORED = {path: kind for path, kind in INGEST_PATHS.items() if kind in {"page", "screen", "group", "alias"}}
BODY = {"batch": [track(messageId="m-1")]}


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def test_paths_are_those_of_the_libraries() -> None:
    names = (
        "batch",
        "import",
        "b",
        "track",
        "t",
        "identify",
        "i",
        "page",
        "p",
        "screen",
        "s",
        "group",
        "g",
        "alias",
        "a",
    )

    assert set(INGEST_PATHS) == {"/event/batch"} | {f"{version}/{name}" for name in names for version in ("/v1", "")}


@pytest.mark.parametrize(
    "path", ["//v1/batch", "/v1/batch/", "/event/batch/", "//event//batch//", "/v1/import/", "/b/"]
)
async def test_extra_slashes_are_ignored(gateway: Served, path: str) -> None:
    answer = await gateway.post(path, BODY)

    assert answer.status == 200
    assert [item["messageId"] for item in gateway.written()] == ["m-1"]


@pytest.mark.parametrize("path", ["/v1/track/", "//t"])
async def test_path_with_extra_slashes_still_gives_the_type(gateway: Served, path: str) -> None:
    assert (await gateway.post(path, {"userId": "u", "event": "Clicked"})).status == 200
    assert [item["type"] for item in gateway.written()] == ["track"]


async def test_query_is_kept_when_slashes_are_ignored(gateway: Served) -> None:
    answer = await gateway.post("/event/batch/?verbose=0", BODY)

    assert answer.json == {"success": True, "accepted": 1, "rejected": 0}


@pytest.mark.parametrize(("path", "kind"), NOT_STORED.items())
async def test_single_item_of_a_type_that_is_not_stored_is_a_200(gateway: Served, path: str, kind: str) -> None:
    answer = await gateway.post(path, {"userId": "u", "name": kind, "messageId": "m-1"})

    assert answer.status == 200
    assert (answer.json["accepted"], answer.json["rejected"]) == (0, 1)
    assert (answer.json["items"][0]["code"], answer.json["items"][0]["messageId"]) == ("unsupported_type", "m-1")
    assert [item["code"] for item in gateway.written(REJECTED)] == ["unsupported_type"]


async def test_batch_of_types_that_are_not_stored_is_a_200(gateway: Served) -> None:
    answer = await gateway.post("/v1/batch", {"batch": [{"type": "page", "userId": "u", "name": "Home"}] * 20})

    assert answer.status == 200
    assert (answer.json["accepted"], answer.json["rejected"]) == (0, 20)
    assert len(gateway.written(REJECTED)) == 20


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/Event/Batch", "/event/batch"),
        ("/V1/batch", "/v1/batch"),
        ("/v1/batch/v1/batch", "/v1/batch"),
        ("/event/batch/v1/import", "/v1/import"),
        ("/v1/batches", "/event/batch"),
        ("/Metrics", "/metrics"),
    ],
)
async def test_wrong_path_is_told_the_one_that_was_meant(gateway: Served, path: str, meant: str) -> None:
    answer = await gateway.post(path, BODY)

    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert f"did you mean `{meant}`?" in answer.json["message"]
    assert gateway.publisher.written == {}


@pytest.mark.parametrize("path", ["/", "/nothing", "/../etc/passwd", "/%F0%9F%98%80", "/" + "x" * 4000])
async def test_path_that_resembles_none_is_told_the_path_of_batches(gateway: Served, path: str) -> None:
    answer = await gateway.post(path, BODY)

    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "Send `POST /event/batch`" in answer.json["message"]
    assert len(answer.json["message"]) < 300


@pytest.mark.parametrize("path", [*INGEST_PATHS, "/event/batch/", "//v1/t"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_method_on_an_ingest_path_is_told_to_post(gateway: Served, path: str, method: str) -> None:
    answer = await gateway.post(path, None, headers={}, method=method)

    assert_not_allowed(answer, "POST")
    assert "Send `POST /" in answer.json["message"]
    assert "Authorization: Bearer <token>" in answer.json["message"]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//health/live"])
async def test_post_where_nothing_is_accepted_is_told_to_get(gateway: Served, path: str) -> None:
    answer = await gateway.post(path, BODY)

    assert_not_allowed(answer, "GET")
    assert "Send `GET /" in answer.json["message"]


def assert_not_allowed(answer: Answer, allowed: str) -> None:
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


async def test_known_path_is_found_without_a_search(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(path: str) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("gateway.http.unrouted.without_extra_slashes", search)

    for path, kind in INGEST_PATHS.items():
        body = BODY if kind is None else {"userId": "u", "event": "Clicked"}
        assert (await gateway.post(path, body)).status == 200
    assert (await gateway.post("/event/batch/", BODY)).status == 503  # the control
