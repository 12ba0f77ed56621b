"""Listings of the `sequence` command: an aligned table for people, a JSON array for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from schemas.field_rules import FieldRule
from schemas.projects import Project, Token


def show(
    listed: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Callable[[Mapping[str, Any]], str]],
    *,
    as_json: bool,
    empty: str,
) -> None:
    """Print *listed* as a JSON array, or as a table of *columns* (heading to text); *empty* when there is none."""
    if as_json:
        click.echo(json.dumps(listed, indent=2, ensure_ascii=False))
    elif listed:
        click.echo(table(list(columns), [[column(entry) for column in columns.values()] for entry in listed]))
    else:
        click.echo(empty)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows below their headings, in columns as wide as their longest text, each row in one line."""
    lines = [headings, *([printable(text) for text in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def printable(text: str) -> str:
    """Return *text* without what a terminal would act on."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def describe_project(project: Project) -> dict[str, Any]:
    """Return *project* as `project list --json` prints it; `burst` is null where the rate is its default."""
    return {
        "id": project.id,
        "name": project.name,
        "disabled": project.disabled,
        "itemsPerSecond": project.items_per_second,
        "burst": project.burst,
        "itemBytes": project.item_bytes,
        "fieldRules": [_describe_rule(rule) for rule in project.field_rules],
        "suppressedUsers": len(project.suppressed),
        "retentionDays": project.retention_days,
        "eventRetention": dict(project.event_retention),
        "createdAt": _time(project.created_at),
    }


def _describe_rule(rule: FieldRule) -> dict[str, Any]:
    described = {"path": rule.path, "action": rule.action}
    return described | {"length": rule.length} if rule.action == "truncate" else described


def project_page(project: Project) -> str:
    """Return what `project show` prints: a line a setting, then a line a field rule."""
    described = describe_project(project)
    item_limit = "of the gateway" if project.item_bytes is None else f"{project.item_bytes} bytes"
    lines = [
        ("Project", project.id),
        ("Name", project.name),
        ("Status", PROJECT_COLUMNS["STATUS"](described)),
        ("Created", _minute(described["createdAt"])),
        ("Rate limit", f"{PROJECT_COLUMNS['RATE LIMIT'](described)}{' for each gateway' if project.rate() else ''}"),
        ("Item limit", item_limit),
        ("Retention", "unlimited" if project.retention_days is None else f"{project.retention_days} days"),
        *(("", f"{event} {days} days") for event, days in project.event_retention),
        ("Field rules", str(project.field_rules[0]) if project.field_rules else "none"),
        *(("", str(rule)) for rule in project.field_rules[1:]),
        *([("Suppressed", f"{len(project.suppressed):,} users")] if project.suppressed else []),
    ]
    return "\n".join(f"{heading:<13}{text}" for heading, text in lines)


def describe_token(token: Token, last_used: str | None, now: int) -> dict[str, Any]:
    """Return *token* as `token list --json` prints it; *last_used* is a day in UTC, *now* microseconds since 1970."""
    status = "revoked" if token.revoked_at is not None else "valid" if token.is_valid(now) else "expired"
    return {
        "id": token.id,
        "projectId": token.project_id or None,
        "hint": token.hint,
        "scope": token.scope,
        "status": status,
        "createdAt": _time(token.created_at),
        "expiresAt": _time(token.expires_at),
        "revokedAt": _time(token.revoked_at),
        "lastUsedOn": last_used,
    }


PROJECT_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ID": lambda project: str(project["id"]),
    "NAME": lambda project: str(project["name"]),
    "STATUS": lambda project: "disabled" if project["disabled"] else "enabled",
    "RATE LIMIT": lambda project: _rate_limit(project["itemsPerSecond"], project["burst"]),
}

TOKEN_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ID": lambda token: str(token["id"]),
    "PROJECT": lambda token: str(token["projectId"] or "all"),
    "TOKEN": lambda token: str(token["hint"]),
    "SCOPE": lambda token: str(token["scope"]),
    "STATUS": lambda token: str(token["status"]),
    "EXPIRES": lambda token: _minute(token["expiresAt"]) or "never",
    "LAST USED": lambda token: token["lastUsedOn"] or "never",
}


def _rate_limit(items_per_second: float | None, burst: float | None) -> str:
    if items_per_second is None:
        return "none"
    return f"{items_per_second:g} items/s" + (f", burst {burst:g}" if burst is not None else "")


def _time(micros: int | None) -> str | None:
    """Return *micros* since 1970 in ISO 8601, UTC, in seconds."""
    return None if micros is None else f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _minute(time: str | None) -> str:
    return time[:16].replace("T", " ") + " UTC" if time else ""
