"""The contract that is served is the one that holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from gateway.http.responses import _STATUSES
from schemas.items import Identify, Track
from tests.integration.served import BEARER, serving, track

DOCUMENT: dict[str, Any] = json.loads(files("schemas").joinpath("openapi.json").read_bytes())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
COLLECTING = ["/event/batch", "/v1/batch", "/b", "/v1/track", "/v1/t", "/v1/identify", "/v1/i"]
MADE_BY_THE_GATEWAY = {"projectId", "receivedAt", "originalTimestamp"}


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_it_names_every_route_and_no_other() -> None:
    async with serving() as gateway:
        served = {
            (resource.canonical, route.method.lower())
            for resource in gateway.app.router.resources()
            for route in resource
            if route.method != "HEAD"
        }
        answer = await gateway.get("/openapi.json")

    assert served == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert answer.json == DOCUMENT


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        node: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]
        assert node


@pytest.mark.parametrize("path", COLLECTING)
def test_every_status_of_an_error_is_told(path: str) -> None:
    told = {int(status) for status in DOCUMENT["paths"][path]["post"]["responses"]}

    assert told >= {status for status, _ in _STATUSES.values()}


@pytest.mark.parametrize(("schema", "item"), [("Track", Track), ("Identify", Identify)])
def test_the_fields_of_an_item_are_those_that_are_kept(schema: str, item: type[Track | Identify]) -> None:
    kept = {*item.__struct_encode_fields__, "type"} - MADE_BY_THE_GATEWAY

    assert set(SCHEMAS[schema]["properties"]) == kept
    assert set(SCHEMAS[f"Single{schema}"]["properties"]) == (kept - {"type"}) | {"writeKey"}


async def test_replies_have_the_fields_that_are_told() -> None:
    async with serving() as gateway:
        mixed = await gateway.post("/b", {"batch": [track(), {"type": "page", "messageId": "m", "userId": "u"}]})
        refused = await gateway.post("/b", {"batch": [{"type": "page"}]})
        error = await gateway.post("/b", b"{", headers=BEARER)

    for reply, schema in (
        (mixed.json, "Verdicts"),
        (mixed.json["items"][0], "AcceptedItem"),
        (mixed.json["items"][1], "RejectedItem"),
        (refused.json, "EveryItemRefused"),
        (error.json, "Error"),
    ):
        assert set(reply) <= set(SCHEMAS[schema]["properties"])
        assert set(reply) >= set(SCHEMAS[schema]["required"])
