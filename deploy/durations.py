"""Durations and times as arguments of commands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from schemas.times import parse_time

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


class Since(click.ParamType):
    """A duration before now, such as `24h`, or a time in ISO 8601, as a time in UTC."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time."""
        if isinstance(value, datetime):
            return value
        try:
            if re.fullmatch(r"[0-9]+[a-z]", value):
                return datetime.now(UTC) - timedelta(seconds=Duration().convert(value, param, ctx))
            return datetime.fromtimestamp(parse_time(value) / 1_000_000, UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a time. Use a duration before now, for example 24h, or a time in ISO 8601, "
                "for example 2026-01-31T12:00:00Z.",
                param,
                ctx,
            )
