"""Requests that are handled directly get the replies that they would get by aiohttp's way."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.ingest_handler import IngestHandler
from gateway.http.paths import INGEST_PATHS
from gateway.settings import GatewaySettings
from tests.fakes.publisher import MemoryPublisher
from tests.unit.gateway.http.in_memory import BATCH, CONTINUE, TOKEN, TRACK, gateway, messages, request, until
from tests.unit.gateway.ingest.json_texts import bodies, items

USUAL = {
    "batch": request(),
    "not verbose": request(target="/event/batch?verbose=0"),
    "single item": request(TRACK, target="/v1/track"),
    "warning": request({"batch": [{**TRACK, "userId": 5}]}, Content_Type="application/json"),
    "type with charset": request(Content_Type="application/json; charset=utf-8"),
    "some rejected": request({"batch": [TRACK, {"type": "track"}]}),
    "every item rejected": request({"batch": [{"type": "track"}]}),
    "type that is not stored": request({"userId": "u"}, target="/v1/page"),
    "no JSON": request(b"{"),
    "unknown token": request(token="seq_dev_unknown"),
    "malformed token": request(token=""),
    "two tokens": request({**BATCH, "writeKey": "other"}),
    "disabled project": request(token="seq_off_0123456789abcdef"),
    "no request ID": request(X_Request_Id="not visible"),
    "proxy": request(X_Forwarded_Proto="https"),
}
UNUSUAL = {
    "other query": request(target="/event/batch?verbose=1"),
    "extra slash": request(target="//event/batch/"),
    "no such path": request(target="/event"),
    "other method": request(method="PUT"),
    "HTTP/1.0": request(version="1.0"),
    "Connection: close": request(Connection="close"),
    "Expect": request(Expect="100-continue"),
    "Origin": request(Origin="https://example.com"),
    "compressed": request(b"\x1f\x8b", Content_Encoding="gzip"),
    "gzip without header": request(b"\x1f\x8b"),
    "other type": request(Content_Type="text/plain"),
    "no token in the headers": request({**BATCH, "writeKey": TOKEN}, token=None),
    "empty body": request(b""),
    "large body": request(b" " * 200_000),
}


RANDOM = re.compile(rb"[0-9a-f]{16}-[0-9a-f]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""IDs of requests and of items without `messageId`."""
SETTINGS = {
    "default": GatewaySettings(),
    "CORS": GatewaySettings(cors_origins="https://example.com"),
    "TLS": GatewaySettings(tls_certificate_file="c.pem", tls_key_file="k.pem"),
    "CORS behind a proxy": GatewaySettings(cors_origins="https://example.com", trusted_proxies="192.0.2.0/24"),
}
PUBLISHERS: dict[str, Callable[[MemoryPublisher], object]] = {
    "overloaded": lambda publisher: setattr(publisher, "overloaded", True),
    "unreachable": lambda publisher: setattr(publisher, "reachable", False),
    "closed": lambda publisher: setattr(publisher, "_closed", True),
    "defective": lambda publisher: setattr(
        publisher, "written", {("sequence.projects.v1", number): [] for number in range(4)}
    ),
}


async def answer(
    data: bytes,
    *,
    direct: bool,
    served_by: GatewaySettings = SETTINGS["default"],
    prepare: Callable[[MemoryPublisher], object] = id,
) -> tuple[bool, bytes, dict[str, float]]:
    """Return whether aiohttp's task woke for the request *data*, the response, and what was counted."""
    async with gateway(served_by) as served:
        prepare(served.publisher)
        if not direct:
            served.server.direct = None
        connection, transport = await served.connect()
        connection.data_received(data)
        woke = connection._waiter is None or connection._waiter.done()
        await until(lambda: transport.sent.removeprefix(CONTINUE))
        assert served.budget.reserved_bytes == 0
        counted = {
            f"{sample.name} {sample.labels}": sample.value
            for metric in served.metrics.registry.collect()
            for sample in metric.samples
            if metric.name.startswith("sequence_") and not sample.name.endswith(("_created", "_sum", "_bucket"))
        }
        return woke, RANDOM.sub(b"ID", transport.sent), counted


@pytest.mark.parametrize("served_by", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("data", "direct"),
    [*((data, True) for data in USUAL.values()), *((data, False) for data in UNUSUAL.values())],
    ids=[*USUAL, *UNUSUAL],
)
async def test_response_does_not_depend_on_the_way(data: bytes, served_by: GatewaySettings, *, direct: bool) -> None:
    woke, sent, counted = await answer(data, direct=True, served_by=served_by)
    expected_woke, expected, expected_counts = await answer(data, direct=False, served_by=served_by)

    assert messages(sent) == messages(expected)
    assert counted == expected_counts
    assert (woke, expected_woke) == (not direct, True)


@given(
    text=bodies() | bodies(broken=True) | items() | items(broken=True),
    path=st.sampled_from(sorted(INGEST_PATHS)),
    query=st.sampled_from(["", "?verbose=0"]),
)
@settings(max_examples=60)
async def test_response_to_any_body_does_not_depend_on_the_way(text: str, path: str, query: str) -> None:
    data = request(text.encode("utf-8", "surrogatepass"), target=path + query)

    _, sent, counted = await answer(data, direct=True)
    _, expected, expected_counts = await answer(data, direct=False)

    assert messages(sent) == messages(expected)
    assert counted == expected_counts


@pytest.mark.parametrize("prepare", PUBLISHERS.values(), ids=PUBLISHERS)
async def test_error_of_the_publisher_does_not_depend_on_the_way(prepare: Callable[[MemoryPublisher], object]) -> None:
    _, sent, counted = await answer(request(), direct=True, prepare=prepare)
    _, expected, expected_counts = await answer(request(), direct=False, prepare=prepare)

    ((status, _, _),) = messages(sent)
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert messages(sent) == messages(expected)
    assert counted == expected_counts


async def test_defect_after_the_acknowledgement_does_not_depend_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(IngestHandler, "count", count)
    _, sent, counted = await answer(request(), direct=True)
    _, expected, expected_counts = await answer(request(), direct=False)

    ((status, _, body),) = messages(sent)
    assert (status, b"unexpected_error" in body) == ("HTTP/1.1 503 Service Unavailable", True)
    assert messages(sent) == messages(expected)
    assert counted == expected_counts


async def test_body_above_the_limit_is_too_large_by_either_way() -> None:
    small = GatewaySettings(body_limit_bytes=16, wire_limit_bytes=16)

    woke, sent, _ = await answer(request(), direct=True, served_by=small)

    assert woke
    assert messages(sent)[0][0] == "HTTP/1.1 413 Request Entity Too Large"
