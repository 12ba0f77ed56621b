"""The OpenAPI document describes the gateway as it behaves."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from gateway.errors import MethodNotAllowedError, NotFoundError
from gateway.http.paths import INGEST_PATHS
from gateway.http.request_id import HEADER
from gateway.http.routes import UNROUTED
from gateway.ingest.rejections import Code
from schemas.items import Identify, Track
from tests.integration.served import BEARER, serving, track
from tests.support.openapi import references
from tests.unit.gateway.http.test_responses import HTTP_ERRORS
from tests.unit.gateway.ingest.test_examples import EXAMPLES

DOCUMENT: dict[str, Any] = json.loads(files("schemas").joinpath("openapi.json").read_bytes())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
SET_BY_THE_GATEWAY = {"projectId", "receivedAt", "originalTimestamp", "warnings", "tokenId"}
BODY_CODES = {
    Code.INVALID_ENCODING,
    Code.NOT_AN_OBJECT,
    Code.BATCH_REQUIRED,
    Code.BATCH_NOT_AN_ARRAY,
    Code.BATCH_EMPTY,
    Code.TOO_MANY_ITEMS,
    Code.TOO_COMPLEX,
    Code.INVALID_UNICODE,
}
"""Codes that no item has."""


async def test_document_lists_exactly_the_routes() -> None:
    async with serving() as gateway:
        served = {
            (resource.canonical, route.method.lower())
            for resource in gateway.app.router.resources()
            for route in resource
            if route.method != "HEAD" and route.name != UNROUTED
        }
        answer = await gateway.get("/openapi.json")

    assert served == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert answer.json == DOCUMENT


def test_every_reference_resolves() -> None:
    for reference in references(DOCUMENT):
        node: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]
        assert node


@pytest.mark.parametrize("path", INGEST_PATHS)
def test_every_status_of_an_error_is_documented(path: str) -> None:
    documented = {int(status) for status in DOCUMENT["paths"][path]["post"]["responses"]}
    possible = {kind.status for kind in HTTP_ERRORS if kind not in {NotFoundError, MethodNotAllowedError}}

    assert documented == possible | {200}


def test_every_response_documents_the_request_id() -> None:
    responses = [
        DOCUMENT["components"]["responses"][reference["$ref"].rpartition("/")[2]] if "$ref" in reference else reference
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        for reference in operation["responses"].values()
    ]

    assert all(HEADER in response["headers"] for response in responses)


def test_error_codes_are_those_of_the_errors() -> None:
    documented = codes("Error") | {SCHEMAS["EveryItemRejected"]["properties"]["code"]["const"]}

    assert documented - set(Code) == {kind.code for kind in HTTP_ERRORS} - set(Code)
    assert documented & set(Code) >= BODY_CODES
    assert documented & set(Code) >= {each.content["error"] for each in EXAMPLES if "error" in each.content}


def test_item_codes_are_those_of_the_rules() -> None:
    assert codes("RejectedItem") == set(Code) - BODY_CODES


def codes(schema: str) -> set[str]:
    return set(SCHEMAS[schema]["properties"]["code"]["enum"])


@pytest.mark.parametrize(("schema", "item"), [("Track", Track), ("Identify", Identify)])
def test_fields_of_an_item_are_those_that_are_stored(schema: str, item: type[Track | Identify]) -> None:
    stored = {*item.__struct_encode_fields__, "type"} - SET_BY_THE_GATEWAY

    assert set(SCHEMAS[schema]["properties"]) == stored
    assert set(SCHEMAS[f"Single{schema}"]["properties"]) == (stored - {"type"}) | {"writeKey"}


async def test_responses_have_the_documented_fields() -> None:
    async with serving() as gateway:
        mixed = await gateway.post("/b", {"batch": [track(), {"type": "page", "messageId": "m", "userId": "u"}]})
        rejected = await gateway.post("/b", {"batch": [{"type": "track"}]})
        error = await gateway.post("/b", b"{", headers=BEARER)

    for response, schema in (
        (mixed.json, "BatchResult"),
        (mixed.json["items"][0], "AcceptedItem"),
        (mixed.json["items"][1], "RejectedItem"),
        (rejected.json, "EveryItemRejected"),
        (error.json, "Error"),
    ):
        assert set(response) <= set(SCHEMAS[schema]["properties"])
        assert set(response) >= set(SCHEMAS[schema]["required"])
