"""Parameters of the API: names, forms and limits. Pure. Every error names the parameter and what it may be."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from multidict import MultiMapping

from deploy.console.errors import ParameterError
from schemas.times import SECOND, parse_time

MAX_CHARACTERS = 512
"""Longest value. IDs and names of items have at most 255 characters."""
VERDICTS = ("accepted", "duplicate", "rejected")

_DURATION = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read(query: MultiMapping[str], names: Collection[str]) -> dict[str, str]:
    """Return the parameters of *query* that have a value; raise `ParameterError` for others than *names*.

    A parameter that is given twice is rejected: two readers of a request could take different ones.
    """
    found: dict[str, str] = {}
    for name, value in query.items():
        if name not in names:
            raise ParameterError(f"Unknown parameter {name[:64]!r}. Use {', '.join(names) or 'none'}.")
        if name in found:
            raise ParameterError(f"The parameter {name} is given more than once.")
        found[name] = checked(name, value)
    return {name: value for name, value in found.items() if value}


def checked(name: str, value: str) -> str:
    """Return *value*; raise `ParameterError` if it is too long, or has a character that no stored text has."""
    is_text = "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if len(value) > MAX_CHARACTERS or not is_text:
        raise ParameterError(f"{name}: must be at most {MAX_CHARACTERS} characters of Unicode, without U+0000.")
    return value


def read_time(found: Mapping[str, str], name: str, now: int) -> int | None:
    """Return the time of the parameter *name*, a time or a duration before *now*; None without the parameter.

    Times are microseconds since 1970.
    """
    text = found.get(name)
    if text is None:
        return None
    if (match := _DURATION.fullmatch(text)) is not None:
        return max(0, now - int(match[1]) * _SECONDS[match[2]] * SECOND)
    try:
        # A plus sign that was not escaped arrives as a space.
        return parse_time(text.replace(" ", "+") if "T" in text else text)
    except ValueError as error:
        raise ParameterError(
            f"{name}: {text!r} is no time. Use a duration such as 15m, 24h or 7d, or a time such as "
            "2026-01-31T12:00:00Z."
        ) from error


def read_limit(found: Mapping[str, str], default: int, most: int) -> int:
    """Return the parameter `limit`."""
    text = found.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= most):
        raise ParameterError(f"limit: must be between 1 and {most}, got {text!r}.")
    return int(text)


def read_verdict(found: Mapping[str, str]) -> str | None:
    """Return the parameter `verdict`."""
    text = found.get("verdict")
    if text is not None and text not in VERDICTS:
        raise ParameterError(f"verdict: must be one of {', '.join(VERDICTS)}, got {text!r}.")
    return text


def read_kind(found: Mapping[str, str]) -> Literal["event", "trait"] | None:
    """Return the parameter `kind`."""
    text = found.get("kind")
    if text in {None, "event", "trait"}:
        return text  # type: ignore[return-value]  # mypy does not narrow by membership
    raise ParameterError(f"kind: must be event or trait, got {text!r}.")
