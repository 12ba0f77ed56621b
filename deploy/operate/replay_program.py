"""Rewrites items with a jq program (https://jqlang.org/manual/). Pure.

jq reads every number as a double. What the program leaves as it is keeps its own value, for example an integer of 64
bits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import jq

from deploy.errors import ArgumentError

_ERROR = re.compile(r"^jq: error: | at <top-level>(?=,)")


class ProgramError(Exception):
    """The program fails for an item; the message says why."""


class Program:
    """A jq program that gets one item and returns one, or none to leave it out."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Compile *texts*, one after the other; `ArgumentError` if one is not valid."""
        for text in texts:
            try:
                jq.compile(text)
            except ValueError as error:
                reason = _ERROR.sub("", str(error).partition("\n")[0]).rstrip(":")
                raise ArgumentError(
                    f"--set {text!r} is not a valid jq program: {reason}. Example: --set '.event = \"Order Completed\"'"
                ) from error
        self.text = texts[0] if len(texts) == 1 else " | ".join(f"({text})" for text in texts)
        self._rewrite = jq.compile(self.text or ".")
        self._read = jq.compile(".")

    def apply(self, item: bytes) -> bytes | None:
        """Return *item* rewritten, None if the program leaves it out; raises `ProgramError`."""
        if not self.text:
            return item
        original = json.loads(item)
        # jq does not read half of a surrogate pair; the original keeps it.
        text = json.dumps(original, ensure_ascii=False).encode("utf-8", "replace").decode()
        try:
            results = self._rewrite.input_text(text).all()
            [before] = self._read.input_text(text).all()
        except ValueError as error:
            raise ProgramError(f"the program fails: {error}") from error
        if not results:
            return None
        if len(results) > 1:
            raise ProgramError(f"the program returns {len(results)} values for one item")
        if not isinstance(results[0], dict):
            raise ProgramError("the program does not return an object")
        return json.dumps(_restored(results[0], before, original), separators=(",", ":")).encode()


def _restored(after: Any, before: Any, original: Any) -> Any:
    """Return *after* with the values of *original* where jq returned what it had read, *before*."""
    if isinstance(after, dict) and isinstance(before, dict) and isinstance(original, dict):
        return {
            name: _restored(value, before[name], original[name]) if name in before and name in original else value
            for name, value in after.items()
        }
    if isinstance(after, list) and isinstance(before, list) and isinstance(original, list):
        common = min(len(after), len(before), len(original))
        return [*map(_restored, after[:common], before, original), *after[common:]]
    return original if type(after) is type(before) and after == before else after
