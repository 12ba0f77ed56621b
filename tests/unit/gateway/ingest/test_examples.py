"""The golden examples hold: what each request becomes, item by item."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.ingest.envelope import read_request
from gateway.ingest.rejections import Code, RequestError
from gateway.ingest.rules import ItemType
from gateway.ingest.validate import check_items
from schemas.items import Item
from schemas.records import encode_item
from schemas.times import parse_time

FOLDER = Path(__file__).parents[4] / "schemas" / "examples"
ITEM_TYPES: dict[str, ItemType] = {
    "/v1/track": "track",
    "/v1/t": "track",
    "/v1/identify": "identify",
    "/v1/i": "identify",
}


@dataclass(frozen=True)
class Example:
    """A request and what it comes to."""

    name: str
    content: dict[str, Any]

    @property
    def body(self) -> bytes:
        text: str = self.content.get("requestText") or json.dumps(self.content["request"])
        return text.encode()

    @property
    def item_type(self) -> ItemType | None:
        return ITEM_TYPES.get(self.content["path"])


def load_all() -> list[Example]:
    return [Example(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]


EXAMPLES = load_all()


def as_expected(item: Item, expected: dict[str, Any]) -> dict[str, Any]:
    """Return *item* as its record holds it, without the messageId where none is expected: then it is random."""
    stored: dict[str, Any] = json.loads(encode_item(item))
    if "messageId" not in expected:
        assert uuid.UUID(stored.pop("messageId")).version == 4
    return stored


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if "error" not in each.content], ids=lambda each: each.name
)
def test_an_example_comes_to_the_items_and_refusals_it_says(example: Example) -> None:
    request = read_request(example.body, item_type=example.item_type)
    verdicts = check_items(request, project_id="example", received_at=parse_time(example.content["receivedAt"]))
    expected = example.content["accepted"]

    assert [index for index, _ in verdicts.accepted] == [each["index"] for each in expected]
    for (_, item), each in zip(verdicts.accepted, expected, strict=True):
        assert as_expected(item, each["item"]) == each["item"]
    refused = [{"index": each.index, "code": each.code, "field": each.field} for each in verdicts.refused]
    assert refused == example.content["refused"]
    assert example.content["status"] == (200 if expected else 400)


@pytest.mark.parametrize("example", [each for each in EXAMPLES if "error" in each.content], ids=lambda each: each.name)
def test_an_example_that_is_refused_whole_has_its_code(example: Example) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(example.body, item_type=example.item_type)

    assert caught.value.code == example.content["error"]
    assert example.content["status"] == 400


def test_the_examples_show_every_code_but_those_of_size_and_encoding() -> None:
    shown = {each.content.get("error") for each in EXAMPLES}
    shown |= {refusal["code"] for each in EXAMPLES for refusal in each.content.get("refused", [])}

    assert set(Code) - shown == {Code.ITEM_TOO_LARGE, Code.TOO_MANY_ITEMS, Code.INVALID_ENCODING}
