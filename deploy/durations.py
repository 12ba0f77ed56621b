"""Durations as arguments of commands."""

from __future__ import annotations

import re
from typing import Any

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType):
    """A whole number with a unit, such as `90d`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)
        if match is None:
            self.fail(
                f"{value!r} is not a duration. Use a whole number followed by s, m, h or d, for example 90d.",
                param,
                ctx,
            )
        return int(match[1]) * _SECONDS[match[2]]
