"""`schemas/console.openapi.json`: checks that a reply is the one that the document describes."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it publishes no types

DOCUMENT: dict[str, Any] = json.loads(files("schemas").joinpath("console.openapi.json").read_bytes())


def check(content: Any, path: str, status: int = 200, method: str = "get") -> None:
    """Check that *content* is what the document says of a reply with *status*."""
    described = DOCUMENT["paths"][path][method]["responses"][str(status)]
    if "$ref" in described:
        described = DOCUMENT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    _validate(content, described["content"]["application/json"]["schema"])


def check_part(content: Any, name: str) -> None:
    """Check that *content* is the schema *name* of the document."""
    _validate(content, {"$ref": f"#/components/schemas/{name}"})


def _validate(content: Any, schema: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(content)
