"""Validates resources as the API server does, strictly: a field that it does not know is an error.

Built-in kinds against the schemas of Kubernetes, custom resources against those of their operators in `crds`. Rules in
CEL are not evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # it publishes no types
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.chart.install import definitions

CRDS = Path(__file__).parent / "crds"
_DEFINITIONS = "/api/_definitions.json"


def errors(resource: Mapping[str, Any], version: str) -> list[str]:
    """Return what Kubernetes *version* would refuse of *resource*."""
    group, _, api_version = resource["apiVersion"].rpartition("/")
    crd = CRDS / f"{resource['kind'].lower()}-{group}-{api_version}.json"
    validator = _custom(crd) if crd.exists() else _built_in(version, group, api_version, resource["kind"])
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(resource)]


@cache
def _custom(crd: Path) -> Draft7Validator:
    return Draft7Validator(json.loads(crd.read_text()))


@cache
def _built_in(version: str, group: str, api_version: str, kind: str) -> Draft7Validator:
    found = [
        name
        for name, schema in _definitions(version)["$defs"].items()
        for known in schema.get("x-kubernetes-group-version-kind", [])
        if (known["group"], known["version"], known["kind"]) == (group, api_version, kind)
    ]
    assert found, f"Kubernetes {version} and crds have no {kind} of {group or 'core'}/{api_version}"
    return Draft7Validator({"$ref": f"{_DEFINITIONS}#/$defs/{found[0]}"}, registry=_registry(version))


@cache
def _definitions(version: str) -> Any:
    return json.loads(definitions(version).read_text())


@cache
def _registry(version: str) -> Any:
    return Registry().with_resource(_DEFINITIONS, DRAFT7.create_resource(_definitions(version)))


def structural(schema: Mapping[str, Any], uses: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield what of *schema*, of a CRD, validates the values *uses* strictly. Of other fields it has the names."""
    if not uses:
        return
    for name in ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "required", "minItems"):
        if name in schema:
            yield name, schema[name]
    if schema.get("x-kubernetes-int-or-string"):
        yield "type", ["integer", "string"]
    objects = [use for use in uses if isinstance(use, dict)]
    if properties := schema.get("properties"):
        used = {name: [each[name] for each in objects if name in each] for name in properties}
        yield (
            "properties",
            {
                name: dict(structural(found, used[name])) if used[name] else {}
                for name, found in sorted(properties.items())
            },
        )
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield "additionalProperties", False
    elif isinstance(others := schema.get("additionalProperties"), dict):
        yield "additionalProperties", dict(structural(others, [value for each in objects for value in each.values()]))
    if "items" in schema:
        yield (
            "items",
            dict(structural(schema["items"], [item for use in uses if isinstance(use, list) for item in use])),
        )
