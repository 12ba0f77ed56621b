"""Reads OpenAPI and AsyncAPI documents."""

from __future__ import annotations

from collections.abc import Iterator


def references(node: object) -> Iterator[str]:
    """Yield every `$ref` in *node*."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
