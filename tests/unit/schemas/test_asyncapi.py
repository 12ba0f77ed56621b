"""`asyncapi.yaml` describes the records that the product writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # it publishes no types
from msgspec import Raw
from ruamel.yaml import YAML

from gateway.ingest.rejections import Code
from schemas import records
from schemas.erasure import Erasure, Suppression
from schemas.field_rules import FieldRuleSetting, HashKey
from schemas.items import Identify, Rejection, Track
from schemas.persons import PERSON_LIMIT_BYTES, REMOVAL_RESERVE_BYTES, PersonRecord, encode_person, fold
from schemas.projects import (
    Burst,
    Deployment,
    Disabled,
    Entry,
    ItemLimit,
    ProjectCreation,
    Rate,
    Revocation,
    Rotation,
    Use,
    describe_token,
    digest,
    encode_entry,
)
from schemas.retention import EventRetention, Retention
from schemas.topics import VERSION, Topics
from tests.support.openapi import references
from tests.unit.gateway.ingest.test_examples import EXAMPLES
from tests.unit.schemas.test_persons import EARLIER

FILE = Path(__file__).parents[3] / "schemas" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = YAML(typ="safe").load(FILE.read_text())
STRUCTS: dict[str, type[msgspec.Struct]] = {
    each.__name__.removesuffix("Record"): each
    for each in (Track, Identify, records.Erase, PersonRecord, Rejection, *get_args(Entry))
}


def violations(schema: str, value: object, *, strict: bool = True) -> list[str]:
    """Return what *value* violates in *schema*; *strict* adds the fields that the schema does not describe."""
    components = {"schemas": strict_schemas()} if strict else DOCUMENT["components"]
    validator = Draft7Validator({"$ref": f"#/components/schemas/{schema}", "components": components})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def strict_schemas() -> dict[str, Any]:
    """Return the schemas without the fields that a later version may add: the product writes described fields only."""
    return {
        name: schema | {"additionalProperties": False} if "properties" in schema else schema
        for name, schema in DOCUMENT["components"]["schemas"].items()
    }


def test_exactly_the_declared_topics_are_described() -> None:
    declared = Topics("any").declare(partitions=1, items_retention_days=1, dedupe_window_days=1)
    addresses = [channel["address"].format(prefix="any") for channel in DOCUMENT["channels"].values()]

    assert sorted(addresses) == sorted(topic.name for topic in declared)


def test_exactly_the_compacted_topics_are_described_as_compacted() -> None:
    declared = Topics("any").declare(partitions=1, items_retention_days=1, dedupe_window_days=1)
    compacted = {topic.name for topic in declared if topic.config.get("cleanup.policy") == "compact"}
    channels = DOCUMENT["channels"].values()

    said = {each["address"].format(prefix="any") for each in channels if "Compacted" in each["description"]}
    assert said == compacted


@pytest.mark.parametrize("reference", sorted(set(references(DOCUMENT))))
def test_every_reference_resolves(reference: str) -> None:
    node = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]

    assert node


@pytest.mark.parametrize("name", STRUCTS)
def test_schema_has_the_fields_of_its_struct(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(STRUCTS[name])}
    tag = STRUCTS[name].__struct_config__.tag_field
    if tag is not None:
        fields[tag] = True

    assert set(schema["properties"]) == set(fields)
    assert set(schema["required"]) == {field for field, required in fields.items() if required}


@pytest.mark.parametrize(
    "item",
    [each["item"] for example in EXAMPLES for each in example.content.get("accepted", [])],
    ids=lambda item: f"{item['type']} {item['userId']}",
)
def test_items_of_the_examples_match_their_schema(item: dict[str, Any]) -> None:
    assert violations(item["type"].capitalize(), {"messageId": "random"} | item) == []


def test_violations_of_a_schema_are_found() -> None:
    item = {"type": "track", "projectId": "p", "messageId": "m", "userId": "u", "event": "e"}
    times = {"timestamp": "2026-01-31T12:00:00Z", "receivedAt": "2026-01-31T12:00:00.000000Z", "x": 1}

    assert len(violations("Track", item | times)) == 2  # the time without microseconds, and the unknown field


@pytest.mark.parametrize(
    "name", [name for name, schema in DOCUMENT["components"]["schemas"].items() if "properties" in schema]
)
def test_published_schema_allows_fields_of_a_later_version(name: str) -> None:
    value = {"later": 1}

    found = violations(name, value, strict=False)

    assert len(violations(name, value)) == len(found) + 1
    assert not any("later" in violation for violation in found)


def test_person_matches_its_schema() -> None:
    noon = "2026-01-31T12:00:00.000000Z"
    person = fold(None, Identify("p", "m", "u", noon, noon, traits=Raw(b'{"plan":null,"city":"Ulm"}')))

    assert violations("Person", json.loads(encode_person(person))) == []
    description = DOCUMENT["components"]["schemas"]["Person"]["description"]
    assert f"{PERSON_LIMIT_BYTES:,} bytes" in description
    assert f"or {PERSON_LIMIT_BYTES + REMOVAL_RESERVE_BYTES:,}" in description


def test_erase_record_matches_its_schema() -> None:
    record = records.erase_record("p", "u", 1)

    assert violations("Erase", json.loads(record.value)) == []
    assert violations("PersonKey", record.key.decode()) == []
    assert records.decode_identify(record.value) == records.Erase("p", "u", 1)


def test_person_of_an_earlier_version_matches_its_schema() -> None:
    assert violations("Person", json.loads(EARLIER)) == []


@pytest.mark.parametrize("content", [b"{}", b"\xff", b"x" * (records.REJECTED_CONTENT_LIMIT_BYTES + 1)])
@pytest.mark.parametrize("code", Code)
def test_rejection_matches_its_schema(content: bytes, code: Code) -> None:
    noon = "2026-01-31T12:00:00.000000Z"
    record = records.rejection_record(Rejection("p", "gateway", code, code.message, noon, "userId", "m"), content)

    assert violations("Rejection", json.loads(record.value)) == []
    assert violations("RejectionKey", record.key.decode()) == []


@pytest.mark.parametrize(
    ("entry", "subject", "part"),
    [
        (ProjectCreation("p", "Shop", 1), "p", "0" * 16),
        (Disabled(disabled=True), "p", ""),
        (Rate(1.5), "p", ""),
        (Rate(None), "p", ""),
        (Burst(2), "p", ""),
        (ItemLimit(None), "p", ""),
        (ItemLimit(2), "p", ""),
        (FieldRuleSetting("truncate", 2), "p", "traits.a"),
        (FieldRuleSetting(None), "p", r"properties.a\.b"),
        (HashKey(b"key"), "p", "0123456789abcdef"),
        (Retention(30), "p", ""),
        (Retention(None), "p", ""),
        (EventRetention(30), "p", "Page Viewed / EU"),
        (EventRetention(None), "p", "Page Viewed"),
        (Erasure(1, (b"\0" * 16,), "c", 1, (5, 0), (1, 1)), "p", "0" * 16),
        (Erasure(1, (b"\0" * 16,), "c", 1, (5,), (1,), since=1, until=2, identifies=(3,)), "p", "0" * 16),
        (Suppression(suppressed=True), "p", "0" * 32),
        (describe_token("a-write-key-of-old", "p", created_at=1, expires_at=2), digest("a"), "0" * 16),
        (describe_token("a-write-key-of-old", "p", created_at=1, scope="read"), digest("a"), "0" * 16),
        (Revocation(1), digest("a"), ""),
        (Rotation(1), digest("a"), digest("b")),
        (Use("2026-01-31"), digest("a"), ""),
        (Deployment(4, 1), VERSION, ""),
    ],
)
def test_entry_of_projects_matches_its_schema(entry: Entry, subject: str, part: str) -> None:
    key, value = encode_entry(entry, subject, part)

    assert violations(f"{type(entry).__name__}Key", key.decode()) == []
    assert violations(type(entry).__name__, json.loads(value)) == []


def test_keys_and_headers_match_their_schemas() -> None:
    event = {name: value.decode() for name, value in records.event_headers(b"m", 3)}
    whole = {
        name: value.decode("latin-1") for name, value in records.event_headers(b"m", 3, 1_700_000_000_000, 2**32 - 1)
    }

    assert violations("EventHeaders", whole) == []
    for same_content in (True, False, None):
        headers = records.duplicate_headers(4, 3, same_content=same_content)
        assert violations("DuplicateHeaders", {name: value.decode() for name, value in headers}) == []
    assert violations("EventHeaders", event) == []
    assert violations("IdentifyHeaders", event | {records.ORIGIN_PARTITION: "0"}) == []
    assert violations("ItemKey", records.item_key("p", "m").decode()) == []
    assert violations("PersonKey", records.person_key("p", "u").decode()) == []
