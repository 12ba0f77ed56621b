"""The golden examples: the result of each request, item by item."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import HttpError
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.rejections import Code
from gateway.ingest.rules import PathType
from gateway.ingest.validate import validate_items
from schemas.items import Item, WarningCode
from schemas.records import encode_item
from schemas.times import parse_time

FOLDER = Path(__file__).parents[4] / "schemas" / "examples"
ITEM_TYPES: dict[str, PathType] = {
    "/v1/track": "track",
    "/v1/t": "track",
    "/v1/identify": "identify",
    "/v1/i": "identify",
    "/v1/page": "page",
}


@dataclass(frozen=True)
class Example:
    """A request and its expected result."""

    name: str
    content: dict[str, Any]

    @property
    def body(self) -> bytes:
        text: str = self.content.get("requestText") or json.dumps(self.content["request"])
        return text.encode()

    @property
    def item_type(self) -> PathType | None:
        return ITEM_TYPES.get(self.content["path"])


def load_all() -> list[Example]:
    return [Example(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]


EXAMPLES = load_all()


def as_expected(item: Item, expected: dict[str, Any]) -> dict[str, Any]:
    """Return the record of *item*, without its `messageId` if the example expects a random one."""
    stored: dict[str, Any] = json.loads(encode_item(item))
    if "messageId" not in expected:
        assert uuid.UUID(stored.pop("messageId")).version == 4
    return stored


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if "error" not in each.content], ids=lambda each: each.name
)
def test_example_has_the_expected_accepted_and_rejected_items(example: Example) -> None:
    envelope = parse_envelope(example.body, item_type=example.item_type)
    result = validate_items(envelope, project_id="example", received_at=parse_time(example.content["receivedAt"]))
    expected = example.content["accepted"]

    assert [*result.accepted_indexes] == [each["index"] for each in expected]
    for item, each in zip(result.accepted, expected, strict=True):
        assert as_expected(item, each["item"]) == each["item"]
    rejected = [{"index": each.index, "code": each.code, "field": each.field} for each in result.rejected]
    assert rejected == example.content["rejected"]
    only_others = all(each["code"] == "unsupported_type" for each in rejected)
    assert example.content["status"] == (200 if expected or only_others else 400)


@pytest.mark.parametrize("example", [each for each in EXAMPLES if "error" in each.content], ids=lambda each: each.name)
def test_rejected_body_has_the_expected_status_and_code(example: Example) -> None:
    with pytest.raises(HttpError) as caught:
        parse_envelope(example.body, item_type=example.item_type)

    assert caught.value.code == example.content["error"]
    assert example.content["status"] == caught.value.status == 400


def test_examples_cover_every_code_of_an_item_but_size_and_encoding() -> None:
    shown = {each.content.get("error") for each in EXAMPLES}
    shown |= {item["code"] for each in EXAMPLES for item in each.content.get("rejected", [])}

    assert set(Code) - shown == {
        *(Code.ITEM_TOO_LARGE, Code.TOO_MANY_ITEMS, Code.TOO_COMPLEX, Code.INVALID_ENCODING, Code.INVALID_UNICODE),
        # It depends on the project, not on the item.
        Code.SUPPRESSED,
    }


def test_examples_cover_every_warning() -> None:
    warnings = [item["item"].get("warnings", []) for each in EXAMPLES for item in each.content.get("accepted", [])]

    assert {warning["code"] for found in warnings for warning in found} == set(WarningCode)
