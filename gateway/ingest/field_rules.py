"""Applies a project's rules for private data to the result of a batch, before anything of it is stored.

Values without a rule keep their text. `schemas.field_rules` has the paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
from msgspec import Raw

from gateway.ingest.json_checks import exceeds_parser
from gateway.ingest.rejections import RejectedItem
from gateway.ingest.rules import read_members
from gateway.ingest.validate import BatchResult
from schemas.field_rules import ANONYMOUS_ID, OBJECTS, FieldRule, hashed, names_of
from schemas.items import EMPTY_OBJECT, Item, Track
from schemas.projects import Project

WITHHELD = "Its content is not stored, because the project's field rules cannot be applied to it."
"""Ends the message of a rejected item that is no JSON object."""

_TEXT = b'"'
_NULL = Raw(b"null")
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_elements = msgspec.json.Decoder(list[Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.encode


@dataclass(slots=True)
class _Node:
    """The rule of a path, and the paths that begin with it."""

    rule: FieldRule | None = None
    below: dict[str, _Node] = field(default_factory=dict)


class FieldRules:
    """The rules of one project, ready to be applied. Of several rules for a value, that of the longest path counts."""

    def __init__(self, rules: Sequence[FieldRule], key: bytes) -> None:
        self._key = key
        self._root = _Node()
        for rule in rules:
            if rule.action == "hash" and not key:
                rule = FieldRule(rule.path, "drop")  # noqa: PLW2901  # never stored as sent
            node = self._root
            for name in names_of(rule.path):
                node = node.below.setdefault(name, _Node())
            node.rule = rule

    def apply(self, result: BatchResult) -> BatchResult:
        """Return *result* with what is to be stored of its items."""
        # Items without their own `context` share that of the batch.
        known: dict[int, Raw] = {}
        return msgspec.structs.replace(
            result,
            accepted=[self._accepted(item, known) for item in result.accepted],
            rejected=[self._rejected(item) for item in result.rejected],
        )

    def _accepted(self, item: Item, known: dict[int, Raw]) -> Item:
        changed: dict[str, Raw | str | None] = {}
        values: dict[str, Raw] = {"context": item.context, "integrations": item.integrations}
        values |= {"properties": item.properties} if isinstance(item, Track) else {"traits": item.traits}
        for name, value in values.items():
            node = self._root.below.get(name)
            if node is None:
                continue
            if (stored := known.get(id(value))) is None:
                stored = known[id(value)] = EMPTY_OBJECT if _is_dropped(node) else self._value(node, value, None)
            changed[name] = stored
        node = self._root.below.get(ANONYMOUS_ID)
        if node is not None and item.anonymous_id is not None:
            sent = Raw(_encode(item.anonymous_id))
            changed["anonymous_id"] = None if _is_dropped(node) else _text(self._value(node, sent, None))
        return msgspec.structs.replace(item, **changed) if changed else item

    def _rejected(self, item: RejectedItem) -> RejectedItem:
        try:
            if exceeds_parser(item.content):
                return _withheld(item)
            members, _ = read_members(item.content)
            return msgspec.structs.replace(item, content=self._content(members))
        except (ValueError, RecursionError):
            return _withheld(item)

    def _content(self, members: dict[str, Raw]) -> bytes:
        """Return the stored content of a rejected item.

        A text in place of an object may be the JSON of that object. No rule finds what is in it, so it is dropped.
        """
        kept = {
            name: value
            for name, value in members.items()
            if not (name in OBJECTS and name in self._root.below and bytes(value).startswith(_TEXT))
        }
        return bytes(self._object(self._root.below, Raw(_encode(kept)), None))

    def _value(self, node: _Node | None, value: Raw, rule: FieldRule | None) -> Raw:
        """Return what is stored of *value*, which is not dropped; *rule* is that of the object or array around it."""
        if node is not None and node.rule is not None:
            rule = node.rule
        if rule is None and (node is None or not node.below):
            return value
        match bytes(value)[:1]:
            case b"{":
                return self._object(node.below if node is not None else {}, value, rule)
            case b"[":
                return Raw(_encode([self._value(node, element, rule) for element in _elements(value)]))
            case _:
                return value if rule is None or value == _NULL else self._scalar(value, rule)

    def _object(self, below: Mapping[str, _Node], value: Raw, rule: FieldRule | None) -> Raw:
        # Encoded even where no member has a rule: of two members with one name, the text would keep both.
        return Raw(
            _encode(
                {
                    name: self._value(node, member, rule)
                    for name, member in _members(value).items()
                    if not _is_dropped(node := below.get(name))
                }
            )
        )

    def _scalar(self, value: Raw, rule: FieldRule) -> Raw:
        text = _text(value) if bytes(value).startswith(_TEXT) else bytes(value).decode()
        if rule.action == "hash":
            return Raw(_encode(hashed(self._key, text)))
        return Raw(_encode(text[: rule.length])) if len(text) > rule.length else value


def _is_dropped(node: _Node | None) -> bool:
    return node is not None and node.rule is not None and node.rule.action == "drop"


def _withheld(item: RejectedItem) -> RejectedItem:
    return msgspec.structs.replace(item, content=b"", message=f"{item.message} {WITHHELD}")


def rules_of(project: Project) -> FieldRules:
    """Return the rules of *project*, ready to be applied."""
    return _rules(project.field_rules, project.hash_key)


@lru_cache(maxsize=4096)
def _rules(rules: Sequence[FieldRule], key: bytes) -> FieldRules:
    return FieldRules(rules, key)
