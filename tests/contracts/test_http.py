"""Whatever is asked of a path that the contract names, the reply is one that the contract names.

The requests are made from the OpenAPI document by schemathesis: good ones, ones that break a rule, and the limits.
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
"""Made by chance for each operation, beside some hundreds of which each tries one thing."""

ITEM: dict[str, Any] = track()
DOCUMENT: dict[str, Any] = json.loads(files("schemas").joinpath("openapi.json").read_bytes())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
BY_CHANCE = schemathesis.openapi.from_dict(DOCUMENT)
BY_CHANCE.config.phases.coverage.enabled = False


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    """A gateway with its records in memory, on a thread of its own: schemathesis waits for replies."""
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


@BY_CHANCE.parametrize()
@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_reply_is_one_that_the_contract_names(case: Case, gateway: Served) -> None:
    case.call_and_validate(base_url=address(gateway), checks=CHECKS)


@SCHEMA.include(path=["/event/batch", "/v1/track", "/v1/identify"]).parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_reply_to_one_with_a_token_is_one_that_the_contract_names(case: Case, gateway: Served) -> None:
    case.call_and_validate(base_url=address(gateway), headers=BEARER, checks=CHECKS)


@pytest.mark.parametrize(
    ("body", "headers", "left_out"),
    [({"batch": []}, BEARER, "400"), ({"batch": [ITEM]}, BEARER, "200"), ({"batch": [ITEM]}, {}, "401")],
)
def test_a_reply_that_the_contract_does_not_name_is_found(
    gateway: Served, body: Any, headers: dict[str, str], left_out: str
) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    del document["paths"]["/b"]["post"]["responses"][left_out]
    case = schemathesis.openapi.from_dict(document)["/b"]["POST"].Case(body=body, media_type="application/json")

    with pytest.raises(FailureGroup, match="Undocumented status code"):
        case.call_and_validate(base_url=address(gateway), headers=headers, checks=CHECKS)


def test_a_reply_of_another_form_is_found(gateway: Served) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["components"]["schemas"]["Verdicts"]["properties"]["accepted"] = {"type": "string"}
    case = schemathesis.openapi.from_dict(document)["/b"]["POST"].Case(
        body={"batch": [ITEM]}, media_type="application/json"
    )

    with pytest.raises(FailureGroup, match="Response violates schema"):
        case.call_and_validate(base_url=address(gateway), headers=BEARER, checks=CHECKS)


def address(gateway: Served) -> str:
    return f"http://127.0.0.1:{gateway.port}"
