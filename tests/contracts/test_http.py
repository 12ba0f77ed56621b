"""Every response of the gateway conforms to its OpenAPI document.

schemathesis generates the requests from the document: valid ones, ones that break a rule, and boundary values.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.served import BEARER, Served, serving, track

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
Case = schemathesis.Case[Any]
EXAMPLES = 40
"""Random examples per operation, in addition to some hundred that each test one boundary."""

ITEM: dict[str, Any] = track()
DOCUMENT: dict[str, Any] = json.loads(files("schemas").joinpath("openapi.json").read_bytes())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
RANDOM = schemathesis.openapi.from_dict(DOCUMENT)
RANDOM.config.phases.coverage.enabled = False


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    """A gateway with an in-memory publisher, on its own thread because schemathesis blocks."""
    started: list[Served] = []
    ready, ending = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with serving() as served:
            started.append(served)
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield started[0]
    loop.call_soon_threadsafe(ending.set)
    thread.join()
    loop.close()


@RANDOM.parametrize()
@settings(max_examples=EXAMPLES // 4, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_response_conforms_to_the_document(case: Case, gateway: Served) -> None:
    case.call_and_validate(base_url=address(gateway), checks=CHECKS)


@SCHEMA.include(path=["/event/batch", "/v1/track", "/v1/identify"]).parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_authenticated_response_conforms_to_the_document(case: Case, gateway: Served) -> None:
    case.call_and_validate(base_url=address(gateway), headers=BEARER, checks=CHECKS)


@pytest.mark.parametrize(
    ("body", "headers", "removed_status"),
    [({"batch": []}, BEARER, "400"), ({"batch": [ITEM]}, BEARER, "200"), ({"batch": [ITEM]}, {}, "401")],
)
def test_undocumented_status_is_reported(
    gateway: Served, body: Any, headers: dict[str, str], removed_status: str
) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    del document["paths"]["/b"]["post"]["responses"][removed_status]
    case = schemathesis.openapi.from_dict(document)["/b"]["POST"].Case(body=body, media_type="application/json")

    with pytest.raises(FailureGroup, match="Undocumented status code"):
        case.call_and_validate(base_url=address(gateway), headers=headers, checks=CHECKS)


def test_response_that_violates_its_schema_is_reported(gateway: Served) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["components"]["schemas"]["BatchResult"]["properties"]["accepted"] = {"type": "string"}
    case = schemathesis.openapi.from_dict(document)["/b"]["POST"].Case(
        body={"batch": [ITEM]}, media_type="application/json"
    )

    with pytest.raises(FailureGroup, match="Response violates schema"):
        case.call_and_validate(base_url=address(gateway), headers=BEARER, checks=CHECKS)


def address(gateway: Served) -> str:
    return f"http://127.0.0.1:{gateway.port}"
